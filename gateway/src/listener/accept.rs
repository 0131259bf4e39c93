//! Accepts connections and hands each to the worker with the least to do.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::table::Port;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Owner;
use super::limits::{Admitted, Limiter};
use crate::drain::{Draining, Open};
use crate::snapshot::Published;
use crate::tls::stream::Socket;
use crate::worker::{Seats, Worker};

/// Between two tries when the system has no descriptors or memory: long enough for some to
/// come free, short enough to go unnoticed.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Who breaks connections off by itself at the end of the drain has this long; all others are
/// dropped then.
const BREAK_OFF_WAIT: Duration = Duration::from_millis(100);

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// Who connected; an IPv4 address where it is one.
    pub peer: SocketAddr,
    /// Where we listened: the port says whose it is.
    pub local: SocketAddr,
    /// What it was accepted for, and stays.
    pub role: Role,
    /// Counts it as open.
    pub guard: Guard,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct Guard {
    _admitted: Admitted,
    _open: Open,
}

/// What a connection was accepted for.
#[derive(Clone, Debug)]
pub enum Role {
    /// For the owner of a port.
    Port(Arc<Port>),
    /// For a link.
    Link,
}

/// What is done with connections.
pub trait Handler: Send + Sync + 'static {
    /// Serves one, to its end. It is dropped once the drain has ended.
    fn handle(
        self: Arc<Self>,
        worker: Arc<Worker>,
        accepted: Accepted,
    ) -> impl Future<Output = ()> + Send;
}

/// Where connections come in.
#[derive(Clone, Debug)]
struct Place {
    owner: Owner,
    local: SocketAddr,
}

/// A connection on its way to the worker that serves it.
enum Arrived {
    /// It is watched by the runtime that accepted it, which is that of its worker too.
    Here(TcpStream),
    /// The runtime of another is to watch it.
    Elsewhere(std::net::TcpStream),
}

impl Arrived {
    fn at(here: bool, stream: TcpStream) -> io::Result<Self> {
        Ok(if here { Self::Here(stream) } else { Self::Elsewhere(stream.into_std()?) })
    }

    /// Watched by the runtime of this thread.
    fn watched(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Elsewhere(stream) => TcpStream::from_std(stream),
        }
    }
}

pub(super) struct Context<H> {
    pub(super) published: Arc<Published>,
    pub(super) handler: Arc<H>,
    pub(super) draining: Draining,
    pub(super) limits: Limiter,
}

impl<H> Clone for Context<H> {
    fn clone(&self) -> Self {
        Self {
            published: Arc::clone(&self.published),
            handler: Arc::clone(&self.handler),
            draining: self.draining.clone(),
            limits: self.limits.clone(),
        }
    }
}

async fn ended(draining: &Draining) {
    draining.ends().reached().await;
    tokio::time::sleep(BREAK_OFF_WAIT).await;
}

/// Accepts until it is told to stop or the drain begins. Connections that the kernel has taken by
/// then are accepted too, as their clients know nothing.
pub(super) async fn run<H: Handler>(
    listener: TcpListener,
    owner: Owner,
    context: Context<H>,
    seats: Seats,
    stop: CancellationToken,
) {
    let watched = listener
        .local_addr()
        .and_then(|local| Ok((local, tokio::net::TcpListener::from_std(listener)?)));
    let (local, listener) = match watched {
        Ok(watched) => watched,
        Err(error) => {
            tracing::error!(%error, ?owner, "a listening socket cannot be watched");
            return;
        }
    };
    let place = Place { owner, local };
    let mut drains = context.draining.begins();
    let mut stopped = pin!(stop.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped.as_mut() => break,
            () = drains.reached() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => context.hand_over(&seats, &place, stream, peer),
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, owner = ?place.owner, "accepting pauses");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        let Ok(stream) = stream else { continue };
        context.hand_over(&seats, &place, stream, peer);
    }
}

/// Whether only the one connection is concerned, which its client gave up.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl<H: Handler> Context<H> {
    fn hand_over(&self, seats: &Seats, place: &Place, stream: TcpStream, peer: SocketAddr) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let admitted = match self.limits.admit(peer.ip()) {
            Ok(admitted) => admitted,
            Err(reached) => {
                tracing::debug!(%peer, limit = reached.label(), "too many connections");
                return;
            }
        };
        let guard = Guard { _admitted: admitted, _open: self.draining.open() };
        let Some(seat) = seats.least_loaded() else { return };
        let Ok(arrived) = Arrived::at(seats.accepts(seat), stream) else { return };
        let context = self.clone();
        let place = place.clone();
        seat.run(move |worker| async move {
            let draining = context.draining.clone();
            let Some(accepted) = context.prepare(&place, arrived, peer, guard) else { return };
            tokio::select! {
                biased;
                () = context.handler.handle(worker, accepted) => {}
                () = ended(&draining) => {}
            }
        });
    }

    /// On the worker's own runtime: there the connection is watched from now on.
    fn prepare(
        &self,
        place: &Place,
        arrived: Arrived,
        peer: SocketAddr,
        guard: Guard,
    ) -> Option<Accepted> {
        let stream = match arrived.watched() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, %peer, "connection was gone when it was accepted");
                return None;
            }
        };
        let Place { owner, local } = place;
        let local = *local;
        let role = match owner {
            Owner::Link => Role::Link,
            Owner::Port(owner) => {
                let snapshot = self.published.load();
                let Some(port) = snapshot.table.port_of(local.port(), owner) else {
                    // Its owner went between the two: nobody is there any more.
                    stream.abort();
                    return None;
                };
                Role::Port(Arc::clone(port))
            }
        };
        Some(Accepted { stream, peer, local, role, guard })
    }
}
