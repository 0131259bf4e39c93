//! A connection to an endpoint, wherever it is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use discovery::endpoint::Reach;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::state::Shared;
use super::tcp::{self, DialFailed};
use crate::http::failure::Failure;
use crate::link::hello::{Hello, RefusedCode};
use crate::link::near::{self, Call, CallFailed};
use crate::snapshot::Snapshot;
use crate::tls::stream::Socket;
use crate::wire::Wire;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// For a TCP connection within the cluster: one lost first packet, sent again after a second.
pub const TCP_WAIT: Duration = Duration::from_secs(2);

/// A connection to an endpoint. [`Socket::abort`] breaks it off, so that the endpoint never takes
/// it for a clean end; a drop alone may look like one.
#[derive(Debug)]
pub enum Connection {
    /// In this cluster.
    Direct(TcpStream),
    /// Through a gateway of another.
    Link(Box<Call>),
}

/// Why there is no connection. Nothing was sent: another endpoint may be tried.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectFailed {
    /// The endpoint did not take the TCP connection.
    #[error("endpoint {address}: {reason}")]
    Direct {
        /// Its address.
        address: SocketAddr,
        /// What failed.
        #[source]
        reason: DialFailed,
    },
    /// The link did not carry the call.
    #[error(transparent)]
    Link(#[from] CallFailed),
}

/// Connects to the endpoint that is reached so, and remembers a failure.
pub async fn connect(
    worker: &Worker,
    snapshot: &Snapshot,
    reach: &Reach,
    hello: &Hello,
) -> Result<Connection, ConnectFailed> {
    let shared = worker.shared();
    let connected = match reach {
        Reach::Direct(address) => tcp::dial(*address, TCP_WAIT)
            .await
            .map(Connection::Direct)
            .map_err(|reason| ConnectFailed::Direct { address: *address, reason }),
        Reach::Via(target) => near::call(shared, snapshot, target, hello)
            .await
            .map(|call| Connection::Link(Box::new(call)))
            .map_err(ConnectFailed::Link),
    };
    if let Err(error) = &connected {
        tracing::debug!(%error, "no connection to an endpoint");
    }
    remember(shared, reach, connected.as_ref().err(), Instant::now());
    connected
}

/// Remembers who failed, and who did not.
fn remember(shared: &Shared, reach: &Reach, error: Option<&ConnectFailed>, now: Instant) {
    let of_link = matches!(error, Some(ConnectFailed::Link(failed)) if failed.is_of_link());
    if let Reach::Via(target) = reach {
        if of_link {
            // Its gateways take no calls, whichever of its endpoints is meant.
            shared.links.failed(&target.link, now, rand::random());
            return;
        }
        // A gateway that says no to one call stands.
        shared.links.succeeded(&target.link);
    }
    match error {
        Some(_) => shared.endpoints.failed(reach, now, rand::random()),
        None => shared.endpoints.succeeded(reach),
    }
}

// === impl ConnectFailed ===

impl ConnectFailed {
    /// What it means for the request.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Direct { reason: DialFailed::TooSlow(_), .. } => Failure::ConnectTooSlow,
            Self::Link(failed) if failed.is_timeout() => Failure::ConnectTooSlow,
            Self::Direct { .. } | Self::Link(_) => Failure::ConnectFailed,
        }
    }

    /// The code with which the far gateway refused, if it did.
    pub const fn refused(&self) -> Option<RefusedCode> {
        match self {
            Self::Link(CallFailed::Refused { refusal, .. }) => Some(refusal.code),
            Self::Link(_) | Self::Direct { .. } => None,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// The call, if it goes through a link.
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Direct(_) => None,
            Self::Link(call) => Some(call),
        }
    }

    /// Whether the far gateway that carries it drains: no request may begin on it.
    pub fn is_draining(&self, snapshot: &Snapshot) -> bool {
        self.call().is_some_and(|call| {
            let peers = snapshot.endpoints.links.get(call.link());
            peers.is_none_or(|peers| peers.draining.contains(call.instance()))
        })
    }

    /// Which of the far gateways carries it.
    pub fn instance(&self) -> Option<&Arc<str>> {
        self.call().map(Call::instance)
    }
}

impl Socket for Connection {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Direct(stream) => stream,
            Self::Link(call) => call.tcp(),
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Direct(stream) => stream,
            Self::Link(call) => call.tcp_mut(),
        }
    }

    fn into_wire(self) -> (Wire, Vec<u8>) {
        let wire = match self {
            Self::Direct(stream) => Wire::Plain(stream),
            Self::Link(call) => Wire::Layered(call),
        };
        (wire, Vec::new())
    }

    fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Direct(stream) => Some(stream),
            Self::Link(_) => None,
        }
    }
}

/// Calls a method of whichever stream it is.
macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Direct($stream) => $call,
            Self::Link($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
