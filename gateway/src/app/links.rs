//! One catalog client for each link, and what they know together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use config::model::LinkName;
use discovery::catalog::client::{self, Client, DialError, Dialer, LinkState};
use discovery::endpoint::build::{LinkInput, Links};
use discovery::link::Link;
use discovery::resolve::SystemResolver;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::snapshot::Published;
use crate::tls::link::{Dial, LinkProtocol};
use crate::tls::stream::TlsStream;
use crate::upstream::tcp;

/// For TCP and TLS of a catalog stream together: a slow path between two sites.
const DIAL_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// The name that a catalog connection carries: nobody is chosen by it.
const CATALOG_NAME: &str = "catalog.clusterset.local";

/// Dials the gateways of links for their catalogs, with the credentials of now.
#[derive(Clone)]
pub(super) struct CatalogDialer {
    pub(super) published: Arc<Published>,
    /// Ticks with every snapshot.
    pub(super) tick: watch::Receiver<u64>,
}

impl Dialer for CatalogDialer {
    type Io = TlsStream<TcpStream>;

    async fn dial(&self, link: &Link, address: SocketAddr) -> Result<Self::Io, DialError> {
        let credentials = Arc::clone(&self.published.load().credentials);
        let dialler = credentials.link(&link.name).ok_or(DialError::NoCredentials)?;
        let unreachable = |error: &dyn std::fmt::Display| DialError::Failed {
            reason: "Unreachable".into(),
            message: format!("{address}: {error}"),
        };
        let stream = tcp::dial(address, DIAL_WAIT).await.map_err(|error| unreachable(&error))?;
        let name = ServerName::try_from(CATALOG_NAME).map_err(|error| unreachable(&error))?;
        let dial = Dial { first: &[], within: DIAL_WAIT };
        let connected = dialler.connect(LinkProtocol::Catalog, name, stream, dial).await;
        connected.map(|link| link.stream).map_err(|error| DialError::Failed {
            reason: error.reason().into(),
            message: format!("{address}: {error}"),
        })
    }

    async fn armed(&self, link: &Link) {
        let mut tick = self.tick.clone();
        let is_armed = |_: &u64| self.published.load().credentials.link(&link.name).is_some();
        if tick.wait_for(is_armed).await.is_err() {
            // Nobody publishes any more: the process ends.
            std::future::pending::<()>().await;
        }
    }
}

/// Follows links as they come and go.
pub(super) struct Followers {
    pub(super) dialer: CatalogDialer,
    pub(super) resolver: SystemResolver,
    pub(super) cluster: Arc<str>,
    pub(super) instance: Arc<str>,
    running: BTreeMap<LinkName, Follower>,
    changed: watch::Sender<u64>,
}

struct Follower {
    link: watch::Sender<Link>,
    state: watch::Receiver<LinkState>,
    stop: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Followers {
    pub(super) fn new(
        dialer: CatalogDialer,
        resolver: SystemResolver,
        (cluster, instance): (Arc<str>, Arc<str>),
    ) -> Self {
        let running = BTreeMap::new();
        Self { dialer, resolver, cluster, instance, running, changed: watch::Sender::new(0) }
    }

    /// Tells of every change of any link's state.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Follows these links and no others.
    pub(super) fn follow(&mut self, links: &[Link]) {
        self.running.retain(|name, follower| {
            let wanted = links.iter().any(|link| link.name == *name);
            if !wanted {
                follower.stop.cancel();
            }
            wanted
        });
        for link in links {
            if let Some(follower) = self.running.get(&link.name) {
                follower.link.send_if_modified(|known| {
                    let changed = known != link;
                    known.clone_from(link);
                    changed
                });
            } else {
                let follower = self.start(link.clone());
                self.running.insert(Arc::clone(&link.name), follower);
            }
        }
    }

    /// The links with what is known of each.
    pub(super) fn links(&self) -> Links {
        let input = |(name, follower): (&LinkName, &Follower)| {
            let link = Arc::new(follower.link.borrow().clone());
            let state = Arc::new(follower.state.borrow().clone());
            (Arc::clone(name), LinkInput { link, state })
        };
        self.running.iter().map(input).collect()
    }

    fn start(&self, link: Link) -> Follower {
        let (link, followed) = watch::channel(link);
        let (out, state) = watch::channel(LinkState::default());
        let stop = CancellationToken::new();
        let client = Client {
            dial: self.dialer.clone(),
            resolve: self.resolver.clone(),
            cluster: Arc::clone(&self.cluster),
            instance: Arc::clone(&self.instance),
            chance: rand::random::<f64>,
        };
        let ended = stop.clone().cancelled_owned();
        let follow = tokio::spawn(client::run(client, followed, out, ended));
        let tell = tokio::spawn(tell(state.clone(), self.changed.clone()));
        Follower { link, state, stop, tasks: [follow, tell] }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn tell(mut state: watch::Receiver<LinkState>, changed: watch::Sender<u64>) {
    while state.changed().await.is_ok() {
        changed.send_modify(|count| *count += 1);
    }
}
