//! A connection to an endpoint, wherever it is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use discovery::endpoint::Reach;
use thiserror::Error;

use super::state::Shared;
use super::tcp::{self, DialFailed};
use crate::http::failure::Failure;
use crate::link::hello::{Hello, RefusedCode};
use crate::link::near::{self, Call, CallFailed, Carrier};
use crate::snapshot::Snapshot;
use crate::wire::Wire;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// For a TCP connection within the cluster: one lost first packet, sent again after a second.
pub const TCP_WAIT: Duration = Duration::from_secs(2);

/// A connection to an endpoint, as it was opened.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes. [`abort`](crate::tls::stream::Socket::abort) breaks it off, so that the
    /// endpoint never takes it for a clean end; a drop alone may look like one.
    pub wire: Wire,
    /// Who carries it, if it goes through a link.
    pub carrier: Option<Carrier>,
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

/// Connects to the endpoint that is reached so, and remembers a failure. Who keeps the connection for
/// longer has it [watched over](Connection::watch_over).
pub async fn connect(
    worker: &Worker,
    snapshot: &Snapshot,
    reach: &Reach,
    hello: &Hello,
) -> Result<Connection, ConnectFailed> {
    let shared = worker.shared();
    let connected = match reach {
        Reach::Direct(address) => tcp::dial_briefly(*address, TCP_WAIT)
            .await
            .map(|stream| Connection { wire: Wire::Plain(stream), carrier: None })
            .map_err(|reason| ConnectFailed::Direct { address: *address, reason }),
        // A handshake is ten times as large as a dial, and most connections have none.
        Reach::Via(target) => Box::pin(near::call(shared, snapshot, target, hello))
            .await
            .map(Connection::from)
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
    /// Lets the system find out when the endpoint is gone. A link is watched over from the beginning.
    pub fn watch_over(&self) {
        if let Wire::Plain(stream) = &self.wire {
            tcp::watch_over(stream);
        }
    }
}

impl From<Call> for Connection {
    fn from(Call { stream, carrier }: Call) -> Self {
        Self { wire: Wire::Layered(Box::new(stream)), carrier: Some(carrier) }
    }
}
