//! The far end of a call: checks that the service is exported to the link, connects to the
//! endpoint, answers, and copies bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::LinkName;
use discovery::endpoint::LinkTarget;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::hello::{self, Answer, Hello, InvalidMessage, RefusedCode};
use crate::drain::{Draining, Phase};
use crate::splice::{Broken, Copied, Splice, splice};
use crate::tls::link::LinkStream;
use crate::tls::stream::{Socket, TlsStream};
use crate::upstream::tcp;

/// For the near gateway's hello: it left with the end of the handshake, so it is nearly there.
pub const HELLO_WAIT: Duration = Duration::from_secs(5);
/// For the connection to the endpoint: less than the near gateway waits for the answer.
pub const ENDPOINT_WAIT: Duration = Duration::from_secs(2);
/// For an answer to leave.
pub const TOLD_WAIT: Duration = Duration::from_secs(2);

/// What is exported to whom.
pub trait Exports: Send + Sync + 'static {
    /// The address of the endpoint that `target` names, or of any if it names none, provided
    /// that `link` may call it.
    fn resolve(&self, link: &LinkName, target: &LinkTarget) -> Result<SocketAddr, RefusedCode>;
}

/// What the far end needs to know.
#[derive(Debug)]
pub struct Far<E> {
    /// What is exported to whom, now.
    pub exports: E,
    /// Which gateway this is, as our catalog names it.
    pub instance: Arc<str>,
    /// Whether it goes away.
    pub draining: Draining,
}

/// How a call ended.
#[derive(Debug)]
pub enum Ended {
    /// The near gateway said nothing that could be understood, or went.
    NoHello(InvalidMessage),
    /// It did not say it in time.
    HelloTooSlow,
    /// It was refused.
    Refused(RefusedCode),
    /// Bytes were copied, and one side broke.
    Broken(Broken),
    /// Bytes were copied until both sides had ended.
    Done,
}

/// Serves one call.
pub async fn serve<S: Socket, E: Exports>(
    call: LinkStream<S>,
    far: &Far<E>,
    copied: &Copied,
) -> Ended {
    let LinkStream { mut stream, peer, .. } = call;
    let endpoint = match greet(&mut stream, &peer.link, far).await {
        Ok(endpoint) => endpoint,
        Err(Ended::Refused(code)) => {
            refuse(stream, code).await;
            return Ended::Refused(code);
        }
        Err(ended) => {
            stream.abort();
            return ended;
        }
    };
    let accepted = Answer::Accepted { instance: Arc::clone(&far.instance) }.encode();
    let told = async {
        stream.write_all(&accepted).await?;
        stream.flush().await
    };
    let told = tokio::time::timeout(TOLD_WAIT, told).await;
    if let Err(error) = told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        // A server that speaks first must not take its greeting for heard.
        endpoint.abort();
        stream.abort();
        return Ended::NoHello(InvalidMessage::Io(error));
    }
    tokio::select! {
        done = splice(stream, endpoint, Splice::default(), copied) => match done {
            Ok(()) => Ended::Done,
            Err(broken) => Ended::Broken(broken),
        },
        () = far.draining.reached(Phase::Ended) => Ended::Refused(RefusedCode::Draining),
    }
}

async fn greet<S: Socket, E: Exports>(
    stream: &mut TlsStream<S>,
    link: &LinkName,
    far: &Far<E>,
) -> Result<TcpStream, Ended> {
    let message = tokio::time::timeout(HELLO_WAIT, hello::read(stream))
        .await
        .map_err(|_| Ended::HelloTooSlow)?
        .map_err(Ended::NoHello)?;
    let hello = Hello::decode(&message).map_err(|_| Ended::Refused(RefusedCode::Malformed))?;
    if far.draining.phase() >= Phase::Draining {
        return Err(Ended::Refused(RefusedCode::Draining));
    }
    let target = stream
        .sni()
        .and_then(|sni| LinkTarget::parse(link, sni).ok())
        .ok_or(Ended::Refused(RefusedCode::Malformed))?;
    let address = far.exports.resolve(link, &target).map_err(Ended::Refused)?;
    tcp::dial_briefly(address, ENDPOINT_WAIT).await.map_err(|error| {
        tracing::debug!(%error, %address, request = ?hello.request_id, "endpoint of a call failed");
        Ended::Refused(RefusedCode::EndpointUnreachable)
    })
}

/// Says no. What the peer already sent may make the end a reset, which is no harm after it.
async fn refuse<S: Socket>(mut stream: TlsStream<S>, code: RefusedCode) {
    let answer = Answer::refused(code, sentence(code)).encode();
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    if !matches!(tokio::time::timeout(TOLD_WAIT, told).await, Ok(Ok(()))) {
        tracing::debug!(code = code.label(), "a refused peer did not wait for the answer");
    }
}

const fn sentence(code: RefusedCode) -> &'static str {
    match code {
        RefusedCode::NotExported => "this service port is not exported to this link",
        RefusedCode::UnknownEndpoint => "the service has no such endpoint",
        RefusedCode::EndpointUnreachable => "the endpoint does not take connections",
        RefusedCode::Draining => "this gateway goes away",
        RefusedCode::Overloaded => "this gateway has too many calls",
        RefusedCode::Malformed => "the server name or the hello was not understood",
        RefusedCode::Other(_) => "refused",
    }
}
