//! What is done with an accepted connection: HTTP, TLS by SNI, a mirrored port, a link.

pub mod first;
pub mod raw;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use config::table::{MirroredPort, Owned, Port, PortServes, SniAction, SniTable, TlsTermination};
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;

use self::first::{First, Version};
use crate::drain::Phase;
use crate::link::far::{self, Exports, Far};
use crate::listener::peek::{self, Peeked, Replay};
use crate::listener::{Accepted, Handler, Role};
use crate::mirrored;
use crate::snapshot::{Published, Snapshot};
use crate::splice::Copied;
use crate::telemetry::{ConnectionKind, Metrics};
use crate::tls::credentials::Termination;
use crate::tls::link::{LinkListener, LinkProtocol, LinkStream};
use crate::tls::stream::{Socket, TlsStream};
use crate::worker::Worker;

/// For a client's first message and for the rest of its handshake, each.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// For the first byte of a client that opened its connection ahead.
pub const FIRST_BYTE_WAIT: Duration = Duration::from_mins(1);

/// How often a link connection looks whether its peer is trusted still: whom an operator has taken
/// off a link is cut off within that time.
pub const TRUST_EVERY: Duration = Duration::from_secs(5);

/// What is done with a connection once its beginning was heard.
type Rest<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Who answers requests, and streams of catalogs.
pub trait Serve: Send + Sync + 'static {
    /// Serves HTTP on `io`, to its end.
    fn http<S: Socket>(&self, io: S, call: HttpConnection) -> impl Future<Output = ()> + Send;

    /// Serves the catalog on an authenticated link connection, to its end.
    fn catalog(&self, link: LinkStream<TcpStream>) -> impl Future<Output = ()> + Send;
}

/// All about an HTTP connection that requests on it have in common.
#[derive(Clone, Debug)]
pub struct HttpConnection {
    /// Whose connections to endpoints are used.
    pub worker: Arc<Worker>,
    /// Who connected.
    pub peer: SocketAddr,
    /// Where.
    pub container_port: u16,
    /// The port as it was when the connection was accepted; its owner stays.
    pub port: Arc<Port>,
    /// What the client and we agreed on, if it speaks TLS.
    pub tls: Option<Tls>,
    /// Which version of HTTP it speaks.
    pub version: Version,
}

/// What is known of a client's TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The name that it asked for.
    pub sni: Option<Arc<str>>,
    /// The certificates that it presented, its own first; empty if none.
    pub peer_chain: Arc<[CertificateDer<'static>]>,
}

/// The handler of all connections.
pub struct Connections<V, E> {
    /// Where each connection loads its snapshot.
    pub published: Arc<Published>,
    /// Who answers requests.
    pub serve: V,
    /// The far end of links.
    pub far: Far<E>,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
}

impl HttpConnection {
    /// The port as it is in `snapshot`, or as it was when its owner went: then the client is better
    /// served by a new connection. `None` when that is long ago: then the connection carries no more
    /// requests.
    pub fn port_in<'a>(&self, snapshot: &'a Snapshot) -> Option<Owned<'a>> {
        snapshot.table.port_of(self.container_port, &self.port.owner)
    }
}

fn action<'a>(table: &'a SniTable, sni: Option<&str>) -> Option<&'a Arc<SniAction>> {
    table.actions.find(sni.unwrap_or_default().as_bytes())
}

impl<V: Serve, E: Exports> Handler for Connections<V, E> {
    fn handle(
        self: Arc<Self>,
        worker: Arc<Worker>,
        accepted: Accepted,
    ) -> impl Future<Output = ()> + Send {
        // What is taken apart in here is not held a second time in there.
        let Accepted { stream, peer, container_port, role, guard } = accepted;
        let open = self.metrics.connection(kind(&role));
        async move {
            match role {
                Role::Link => Box::pin(self.link(stream, peer)).await,
                Role::Port(port) => {
                    let of = Arc::clone(&port);
                    let (tls, version) = (None, Version::Http1);
                    let call = HttpConnection { worker, peer, container_port, port, tls, version };
                    // One box after the other: what a connection begins with, a handshake perhaps,
                    // is gone when it goes on, and an idle one holds only what it needs.
                    if let Some(rest) = Box::pin(self.begin(stream, &of, call)).await {
                        rest.await;
                    }
                }
            }
            drop((open, guard));
        }
    }
}

impl<V: Serve, E: Exports> Connections<V, E> {
    /// Hears a client until it is known what is done with its connection; `None`: nothing.
    async fn begin<'a>(
        &'a self,
        stream: TcpStream,
        port: &'a Port,
        call: HttpConnection,
    ) -> Option<Rest<'a>> {
        match &port.serves {
            PortServes::Http(_) => self.plain(stream, call).await,
            PortServes::Tls(table) => self.tls(stream, table, call).await,
            PortServes::Mirrored(mirrored) => self.mirrored(stream, mirrored, call).await,
        }
    }

    async fn plain(&self, stream: TcpStream, call: HttpConnection) -> Option<Rest<'_>> {
        let mut first = First::new(stream);
        match tokio::time::timeout(FIRST_BYTE_WAIT, first.version()).await {
            Ok(Ok(Some(version))) => {
                let call = HttpConnection { version, ..call };
                return Some(Box::pin(self.serve.http(first.replay(), call)));
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, peer = %call.peer, "client went"),
            Err(_) => tracing::debug!(peer = %call.peer, "client said nothing"),
        }
        None
    }

    async fn mirrored<'a>(
        &'a self,
        stream: TcpStream,
        port: &'a MirroredPort,
        call: HttpConnection,
    ) -> Option<Rest<'a>> {
        match mirrored::decide(stream, port, &self.published, &call.worker).await {
            mirrored::Taken::Http(io, version) => {
                let call = HttpConnection { version, ..call };
                Some(Box::pin(self.serve.http(io, call)))
            }
            mirrored::Taken::Raw(io, dialled) => Some(Box::pin(async move {
                let snapshot = self.published.load_full();
                raw::carry(io, &call.worker, snapshot, &port.backend, dialled).await;
            })),
            mirrored::Taken::Nothing(why) => {
                tracing::debug!(peer = %call.peer, why, "nothing to do for a connection");
                None
            }
        }
    }

    async fn tls<'a>(
        &'a self,
        stream: TcpStream,
        table: &'a SniTable,
        call: HttpConnection,
    ) -> Option<Rest<'a>> {
        let peeked = match peek::peek(stream, HANDSHAKE_WAIT).await {
            Ok(peeked) => peeked,
            Err(error) => {
                tracing::debug!(%error, peer = %call.peer, "no TLS connection");
                return None;
            }
        };
        match action(table, peeked.sni.as_deref()).map(AsRef::as_ref) {
            Some(SniAction::Terminate(termination)) => {
                Box::pin(self.terminate(peeked, termination, call)).await
            }
            Some(SniAction::Passthrough(rule)) => {
                let io = peeked.replay();
                Some(Box::pin(async move {
                    let snapshot = self.published.load_full();
                    raw::pass(io, &call.worker, snapshot, rule).await;
                }))
            }
            None => {
                tracing::debug!(sni = ?peeked.sni, peer = %call.peer, "nobody has this name");
                abort(peeked.replay());
                None
            }
        }
    }

    async fn terminate(
        &self,
        peeked: Peeked<TcpStream>,
        termination: &TlsTermination,
        call: HttpConnection,
    ) -> Option<Rest<'_>> {
        let sni = peeked.sni.as_deref().map(Arc::from);
        let config = {
            let snapshot = self.published.load();
            snapshot.credentials.https(&Termination::from(termination)).cloned()
        };
        let Some(config) = config else {
            tracing::debug!(?sni, "no certificate for this name");
            abort(peeked.replay());
            return None;
        };
        let stream: TlsStream<TcpStream> = match peeked.terminate(config, HANDSHAKE_WAIT).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, peer = %call.peer, "no TLS connection");
                return None;
            }
        };
        let version = match stream.alpn() {
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        };
        let tls = Some(Tls { sni, peer_chain: stream.peer_chain().into() });
        Some(Box::pin(self.serve.http(stream, HttpConnection { tls, version, ..call })))
    }

    async fn link(&self, stream: TcpStream, peer: SocketAddr) {
        let listener = self.published.load().credentials.link_listener().cloned();
        let Some(listener) = listener else {
            tracing::debug!(%peer, "a link was called before we have an identity");
            stream.abort();
            return;
        };
        let link = match listener.accept(stream, HANDSHAKE_WAIT).await {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!(%error, %peer, "no link connection");
                return;
            }
        };
        let chain: Vec<CertificateDer<'static>> = link.stream.peer_chain().to_vec();
        let name = Arc::clone(&link.peer.link);
        tokio::select! {
            () = self.linked(link) => {}
            () = self.distrusted(&listener, &chain) => {
                tracing::info!(link = %name, %peer, "a peer is not trusted any more");
            }
        }
    }

    /// Serves a link connection to its end.
    async fn linked(&self, link: LinkStream<TcpStream>) {
        match link.protocol {
            // The peer was told that we go, and finds another of us.
            LinkProtocol::Catalog => tokio::select! {
                () = self.serve.catalog(link) => {}
                () = self.far.draining.reached(Phase::Draining) => {}
            },
            LinkProtocol::Calls => {
                let name = Arc::clone(&link.peer.link);
                let copied = Copied::default();
                let ended = far::serve(link, &self.far, &copied).await;
                tracing::debug!(?ended, link = %name, up = copied.up(), down = copied.down());
            }
        }
    }

    /// Waits until the peer that presented `chain` would be refused: its link is gone, or the
    /// link's bundle or list of gateways has changed.
    async fn distrusted(&self, accepted_by: &LinkListener, chain: &[CertificateDer<'static>]) {
        let at = UnixTime::now();
        let mut looked = accepted_by.config();
        loop {
            tokio::time::sleep(TRUST_EVERY).await;
            let now = self.published.load().credentials.link_listener().cloned();
            // Without an identity of our own nobody can be judged, and nobody new comes in.
            let Some(now) = now else { continue };
            // All link configurations are made anew with the trust, so this says whether it is.
            let config = now.config();
            if Arc::ptr_eq(&config, &looked) {
                continue;
            }
            if !now.still_trusts(chain, at) {
                return;
            }
            looked = config;
        }
    }
}

/// What a connection is counted as.
fn kind(role: &Role) -> ConnectionKind {
    match role {
        Role::Link => ConnectionKind::Link,
        Role::Port(port) => match port.serves {
            PortServes::Mirrored(_) => ConnectionKind::Mirrored,
            PortServes::Http(_) | PortServes::Tls(_) => ConnectionKind::Ingress,
        },
    }
}

/// A client that nobody serves learns it at once.
fn abort(replay: Replay<TcpStream>) {
    replay.abort();
}
