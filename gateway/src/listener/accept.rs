//! Hands each connection that was accepted to the worker with the least to do.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use config::table::{Owned, Port};
use futures::future::select;
use tokio::net::TcpStream;

use super::Owner;
use super::limits::{Admitted, Limiter};
use crate::drain::{Draining, Open};
use crate::snapshot::Published;
use crate::tls::stream::Socket;
use crate::worker::{Seats, Worker};

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
    /// Where we listened: it says whose it is.
    pub container_port: u16,
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
pub(super) struct Place {
    pub(super) owner: Owner,
    pub(super) container_port: u16,
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

impl<H: Handler> Context<H> {
    /// Takes on a connection that no runtime watches yet, if it is not one too many.
    pub(super) fn hand_over(
        &self,
        seats: &Seats,
        place: &Place,
        stream: std::net::TcpStream,
        peer: SocketAddr,
    ) {
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
        let context = self.clone();
        let place = place.clone();
        seat.run(move |worker| async move {
            let draining = context.draining.clone();
            let Some(accepted) = context.prepare(&place, stream, peer, guard) else { return };
            let handled = pin!(context.handler.handle(worker, accepted));
            select(handled, pin!(ended(&draining))).await;
        });
    }

    /// On the worker's own runtime: there the connection is watched from now on.
    fn prepare(
        &self,
        place: &Place,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        guard: Guard,
    ) -> Option<Accepted> {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, %peer, "connection was gone when it was accepted");
                return None;
            }
        };
        let Place { owner, container_port } = place;
        let container_port = *container_port;
        let role = match owner {
            Owner::Link => Role::Link,
            Owner::Port(owner) => {
                let snapshot = self.published.load();
                let Some(Owned { port, .. }) = snapshot.table.port_of(container_port, owner) else {
                    // Its owner went between the two: nobody is there any more.
                    stream.abort();
                    return None;
                };
                Role::Port(Arc::clone(port))
            }
        };
        Some(Accepted { stream, peer, container_port, role, guard })
    }
}
