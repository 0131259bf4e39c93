//! What a connection on a mirrored port carries: `appProtocol` says it, or the first bytes do.

use std::io;
use std::time::Duration;

use config::model::{AppProtocol, BackendKey};
use config::table::MirroredPort;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::connection::FIRST_BYTE_WAIT;
use crate::connection::first::{First, Kind, Version};
use crate::connection::raw::{self, Dialled};
use crate::listener::peek::Replay;
use crate::snapshot::Published;
use crate::splice;
use crate::tls::stream::Socket;
use crate::worker::Worker;

/// How long a client has for the first bytes before the endpoint is dialled: it may be the server
/// that speaks first. Those who wait for it lose this much, once per connection.
pub const FIRST_BYTES_WAIT: Duration = Duration::from_millis(200);
/// How long bytes that could be the beginning of a request line may stay without an end.
pub const REQUEST_LINE_WAIT: Duration = Duration::from_secs(10);
/// How much of what a server says first is read at once.
const FIRST_READ_BYTES: usize = 4096;

/// What is done with a connection.
#[derive(Debug)]
pub enum Taken {
    /// Requests are read from it.
    Http(Replay<TcpStream>, Version),
    /// Its bytes are copied, to the endpoint that was dialled or to another.
    Raw(Replay<TcpStream>, Option<Dialled>),
    /// Nothing; why.
    Nothing(&'static str),
}

/// Decides what a connection carries.
pub async fn decide(
    stream: TcpStream,
    port: &MirroredPort,
    published: &Published,
    worker: &Worker,
) -> Taken {
    let mut first = First::new(stream);
    match &port.protocol {
        AppProtocol::Opaque(_) if port.routes.is_none() => Taken::Raw(first.replay(), None),
        AppProtocol::Unset if port.routes.is_none() => {
            match tokio::time::timeout(FIRST_BYTES_WAIT, sniff(&mut first)).await {
                Ok(kind) => taken(first, &kind),
                Err(_) => server_first(first, &port.backend, published, worker).await,
            }
        }
        // Rules or the exporter say that it is HTTP: what is not gets the answer of HTTP.
        _ => match tokio::time::timeout(FIRST_BYTE_WAIT, first.version()).await {
            Ok(Ok(Some(version))) => Taken::Http(first.replay(), version),
            Ok(Ok(None) | Err(_)) => Taken::Nothing("the client went before its first byte"),
            Err(_) => Taken::Nothing("the client said nothing"),
        },
    }
}

/// Reads until it is known what the bytes are. A client that has ended said all that it will.
async fn sniff(first: &mut First) -> io::Result<Kind> {
    loop {
        let kind = first.kind();
        if kind != Kind::Undecided {
            return Ok(kind);
        }
        if !first.more().await? {
            return Ok(Kind::Raw);
        }
    }
}

/// The same for a client that may wait for the server: only bytes of which it has begun to speak
/// must go on in time.
async fn sniff_late(first: &mut First) -> io::Result<Kind> {
    if first.seen().is_empty() && !first.more().await? {
        return Ok(Kind::Raw);
    }
    tokio::time::timeout(REQUEST_LINE_WAIT, sniff(first)).await.unwrap_or(Ok(Kind::Raw))
}

fn taken(first: First, kind: &io::Result<Kind>) -> Taken {
    match kind {
        Ok(Kind::Http(version)) => Taken::Http(first.replay(), *version),
        Ok(Kind::Raw | Kind::Undecided) => Taken::Raw(first.replay(), None),
        Err(_) => Taken::Nothing("the client went"),
    }
}

/// The client is silent: dials an endpoint, which may be the one to begin.
async fn server_first(
    mut first: First,
    key: &BackendKey,
    published: &Published,
    worker: &Worker,
) -> Taken {
    let snapshot = published.load_full();
    let Ok(dialled) = raw::dial(worker, &snapshot, key).await else {
        first.replay().abort();
        return Taken::Nothing("no endpoint takes connections");
    };
    let (mut connection, mut said) = dialled.connection.into_parts();
    said.reserve(FIRST_READ_BYTES);
    let begun = async {
        tokio::select! {
            biased;
            kind = sniff_late(&mut first) => kind.map_err(|_| "the client went"),
            count = connection.read_buf(&mut said) => match count {
                // Its end is passed on like its bytes: it can be read again.
                Ok(_) => Ok(Kind::Raw),
                Err(_) => Err("the endpoint broke before a byte"),
            },
        }
    };
    match tokio::time::timeout(splice::IDLE_MAX, begun).await {
        // The endpoint has heard nothing, so that its connection simply ends.
        Ok(Ok(Kind::Http(version))) => Taken::Http(first.replay(), version),
        Ok(Ok(Kind::Raw | Kind::Undecided)) => Taken::Raw(
            first.replay(),
            Some(Dialled { connection: Replay::new(connection, said), ..dialled }),
        ),
        Ok(Err(why)) => {
            connection.abort();
            first.replay().abort();
            Taken::Nothing(why)
        }
        Err(_) => Taken::Nothing("neither side said anything"),
    }
}
