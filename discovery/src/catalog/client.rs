//! Follows the catalog of one linked cluster, for as long as there is the link.

mod backoff;
mod session;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::model::LinkName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use self::backoff::Backoff;
use self::session::End;
use super::{Catalog, Version};
use crate::freshness::{Freshness, Heard, freshness};
use crate::link::{Address, Link};
use crate::resolve::{Resolve, Resolved, resolve};

/// After so long without a replica that has seen what we have, the newest offered is taken: its
/// etcd was restored. An ordinary replica catches up within seconds.
pub const RESET_AFTER: Duration = Duration::from_secs(15);
/// How soon the next replica is asked after one that is behind, which has waited itself already.
const BEHIND_AGAIN: Duration = Duration::from_millis(250);

/// What is known of a link.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkState {
    /// The last complete catalog: it stays when the link is lost.
    pub catalog: Arc<Catalog>,
    /// Whether a catalog was received since this process started.
    pub received: bool,
    /// How far it can be believed.
    pub freshness: Freshness,
    /// What was last heard.
    pub heard: Option<Heard>,
    /// Whether the stream stands.
    pub connected: bool,
    /// What is wrong: a reason in CamelCase and a sentence.
    pub problem: Option<(Arc<str>, String)>,
    /// The resolved addresses of the remote gateways.
    pub addresses: Arc<[SocketAddr]>,
    /// What they were resolved from.
    pub named: Arc<[Address]>,
    /// The name that could not be resolved, if one could not.
    pub unresolved: Option<String>,
}

impl LinkState {
    /// Whether a leader decides alike on both: when it was heard of last, and how far the other
    /// cluster's watches were, changes with every sign of life and stands in no object.
    pub fn decides_alike(&self, other: &Self) -> bool {
        let Self {
            catalog,
            received,
            freshness,
            heard: _,
            connected,
            problem,
            addresses,
            named,
            unresolved,
        } = self;
        let Catalog { services, version: _, draining, drained_percent } = &**catalog;
        *services == other.catalog.services
            && *draining == other.catalog.draining
            && *drained_percent == other.catalog.drained_percent
            && *received == other.received
            && *freshness == other.freshness
            && *connected == other.connected
            && *problem == other.problem
            && *addresses == other.addresses
            && *named == other.named
            && *unresolved == other.unresolved
    }
}

/// Why there is no connection to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nobody was dialled: it would lead nowhere whoever is there.
    #[error("this gateway holds no certificate yet, or the link's trust is not valid")]
    NoCredentials,
    /// The peer, or the way to it.
    #[error("{message}")]
    Failed {
        /// A reason in CamelCase: `Unreachable`, or why the peer is not trusted.
        reason: Arc<str>,
        /// A sentence.
        message: String,
    },
}

/// Connects to a gateway of a link, with mutual TLS.
pub trait Dialer: Send + Sync + 'static {
    /// The connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects to `address`; the peer is proven to be a gateway of `link`.
    fn dial(
        &self,
        link: &Link,
        address: SocketAddr,
    ) -> impl Future<Output = Result<Self::Io, DialError>> + Send;

    /// Waits until there is what `link` is dialled with.
    fn armed(&self, link: &Link) -> impl Future<Output = ()> + Send;
}

/// Follows one link. `chance` gives numbers from 0 to 1, for jitter.
pub struct Client<D, R, C> {
    /// How gateways are reached.
    pub dial: D,
    /// How their names are found.
    pub resolve: R,
    /// The name of our own cluster, for the peer's logs.
    pub cluster: Arc<str>,
    /// Our own instance id, for the peer's logs.
    pub instance: Arc<str>,
    /// Chance.
    pub chance: C,
}

/// One task for each link: keeps `out` current until `shutdown`, or until nobody sends `link`
/// any more.
pub async fn run<D: Dialer, R: Resolve, C: FnMut() -> f64 + Send>(
    mut client: Client<D, R, C>,
    link: watch::Receiver<Link>,
    out: watch::Sender<LinkState>,
    shutdown: impl Future<Output = ()>,
) {
    let resolver = client.resolve.clone();
    tokio::select! {
        () = client.follow(link.clone(), &out) => {}
        () = keep(&resolver, link, &out) => {}
        () = shutdown => {}
    }
}

/// Keeps addresses and freshness current.
async fn keep(
    resolver: &impl Resolve,
    mut links: watch::Receiver<Link>,
    out: &watch::Sender<LinkState>,
) {
    let mut states = out.subscribe();
    loop {
        let link = links.borrow_and_update().clone();
        let found = resolve(resolver, &link.addresses, Instant::now()).await;
        out.send_if_modified(|state| found.put(state, &link));
        loop {
            let now = Instant::now();
            let heard = states.borrow_and_update().heard;
            let (fresh, next) = freshness(heard, &link.staleness, now);
            out.send_if_modified(|state| std::mem::replace(&mut state.freshness, fresh) != fresh);
            tokio::select! {
                changed = links.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = until(found.until) => break,
                () = until(next) => {}
                _ = states.changed() => {}
            }
        }
    }
}

impl Resolved {
    /// Puts the addresses in the place of those that were known. Returns whether they differ.
    fn put(&self, state: &mut LinkState, link: &Link) -> bool {
        // Names that do not resolve now keep the addresses that they had.
        let nothing = self.addresses.is_empty() && self.problem.is_some();
        let keep = nothing && state.named == link.addresses;
        let addresses = if keep { &state.addresses } else { &self.addresses };
        let next = (Arc::clone(addresses), Arc::clone(&link.addresses), self.problem.clone());
        let (addresses, named, unresolved) = next;
        let same =
            state.addresses == addresses && state.named == named && state.unresolved == unresolved;
        (state.addresses, state.named, state.unresolved) = (addresses, named, unresolved);
        !same
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// What was learned from replicas that were behind.
#[derive(Debug, Default)]
struct Behind {
    since: Option<Instant>,
    /// The newest that was offered of each kind.
    offered: Version,
}

impl Behind {
    fn note(&mut self, offered: Version, now: Instant) {
        self.since.get_or_insert(now);
        let newest = |a: u64, b: u64| a.max(b);
        self.offered = std::mem::take(&mut self.offered).union_with(offered, newest);
    }

    /// What a replica must have seen, and whether that is less than we have.
    fn asks(&self, known: &Version, now: Instant) -> (Version, bool) {
        let over = self.since.is_some_and(|since| now.duration_since(since) >= RESET_AFTER);
        if over { (self.offered.clone(), true) } else { (known.clone(), false) }
    }
}

impl<D: Dialer, R, C: FnMut() -> f64 + Send> Client<D, R, C> {
    async fn follow(&mut self, mut links: watch::Receiver<Link>, out: &watch::Sender<LinkState>) {
        let mut link = links.borrow_and_update().clone();
        loop {
            let differs = |next: &Link| !same_stream(next, &link);
            let next = tokio::select! {
                () = self.dial_in_turn(&link, out) => return,
                next = links.wait_for(differs) => match next {
                    Ok(next) => next.clone(),
                    Err(_) => return,
                },
            };
            out.send_modify(|state| {
                state.connected = false;
                // Another cluster: what was known is not its.
                if next.trust_domain != link.trust_domain {
                    state.catalog = Arc::default();
                    (state.received, state.heard) = (false, None);
                }
            });
            link = next;
        }
    }

    /// Dials the link's addresses one after the other, for ever; ends only with `out`.
    async fn dial_in_turn(&mut self, link: &Link, out: &watch::Sender<LinkState>) {
        let mut states = out.subscribe();
        let mut backoff = Backoff::default();
        let mut behind = Behind::default();
        let mut turn = session::spread((self.chance)());
        loop {
            let resolved =
                |state: &LinkState| !state.addresses.is_empty() && state.named == link.addresses;
            let known = states.wait_for(resolved).await;
            let Ok((addresses, known)) =
                known.map(|it| (Arc::clone(&it.addresses), it.catalog.version.clone()))
            else {
                return;
            };
            let Some(address) = addresses.get(turn % addresses.len()).copied() else { continue };
            turn = turn.wrapping_add(1);
            let (asks, reset) = behind.asks(&known, Instant::now());
            let ask = session::Ask { link, address, known: asks, reset };
            let end = self.session(ask, out).await;
            if end.lived {
                (backoff, behind) = (Backoff::default(), Behind::default());
            }
            match end.why {
                // No peer failed, so none is spared: the first to come is dialled at once.
                session::Why::NoCredentials => self.dial.armed(link).await,
                session::Why::Behind(version) => {
                    behind.note(version, Instant::now());
                    tokio::time::sleep(BEHIND_AGAIN).await;
                }
                session::Why::Problem(..) | session::Why::Resync => {
                    let wait = backoff.next(addresses.len(), (self.chance)());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// One stream, from the dial to its end, which stands in `out`.
    async fn session(&self, ask: session::Ask<'_>, out: &watch::Sender<LinkState>) -> End {
        let end = session::run(self, ask, out).await;
        out.send_modify(|state| {
            state.connected = false;
            if let Some((reason, sentence)) = end.problem() {
                tracing::info!(%reason, sentence, "the catalog stream is down");
                state.problem = Some((reason, sentence));
            }
        });
        end
    }
}

/// Whether the stream of the one link serves the other.
fn same_stream(a: &Link, b: &Link) -> bool {
    a.trust_domain == b.trust_domain
        && a.addresses == b.addresses
        && a.bundle == b.bundle
        && a.gateways == b.gateways
        && a.quota == b.quota
}

/// The states of all links, as the endpoint table is built from.
pub type LinkStates = config::model::HashMap<LinkName, Arc<LinkState>>;

#[cfg(test)]
mod tests;
