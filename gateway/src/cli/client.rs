//! Asks the admin port of a running process.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where the admin port is unless somebody moved it.
pub(super) const DEFAULT: &str = "http://127.0.0.1:15000";

/// How long one question may take: the port is on this machine, or behind a `kubectl port-forward`.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How much is read of an answer: a table of some ten thousand rules.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody answers there.
    #[error("no answer from {url}: {reason}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        reason: String,
    },
    /// Somebody answers, but not what was asked.
    #[error("{url} answered {status}: {text}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What was said.
        text: String,
    },
}

/// Asks for the JSON under `path` with `query`.
pub(super) async fn ask<T: DeserializeOwned>(
    admin: &str,
    path: &str,
    query: &[(&str, &str)],
) -> Result<T, AskError> {
    let url = format!("{}{path}{}", admin.trim_end_matches('/'), encode(query));
    let unreachable = |reason: String| AskError::Unreachable { url: url.clone(), reason };
    let (status, body) = match timeout(ANSWER_WITHIN, get(&url)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(unreachable(format!("{error:#}"))),
        Err(_) => return Err(unreachable(format!("nothing within {ANSWER_WITHIN:?}"))),
    };
    if status != 200 {
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        return Err(AskError::Refused { url, status, text });
    }
    serde_json::from_slice(&body)
        .map_err(|error| unreachable(format!("it is no admin port of ours: {error}")))
}

async fn get(url: &str) -> anyhow::Result<(u16, Bytes)> {
    let uri: http::Uri = url.parse().context("it is not a URL")?;
    if uri.scheme_str() != Some("http") {
        bail!("an admin URL begins with http://");
    }
    let authority = uri.authority().context("it names no host")?.clone();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = http::Request::get(path)
        .header(http::header::HOST, authority.as_str())
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::Ok((status, body))
    };
    let mut exchange = std::pin::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What was read before the end is still there to be taken.
        _ = &mut connection => exchange.await,
    }
}

/// `?name=value&…`, with everything but letters and digits escaped.
fn encode(query: &[(&str, &str)]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (at, (name, value)) in query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() {
                text.push(char::from(byte));
            } else {
                let written = write!(text, "%{byte:02X}");
                debug_assert!(written.is_ok(), "writing to a String");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn a_query_is_escaped_so_that_no_value_ends_it() {
        let query = [("url", "http://a.b/c?d=e&f"), ("header", "x: y")];
        assert_eq!(encode(&query), "?url=http%3A%2F%2Fa%2Eb%2Fc%3Fd%3De%26f&header=x%3A%20y");
        assert_eq!(encode(&[]), "");
    }
}
