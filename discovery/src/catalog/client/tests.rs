//! Server and client over streams in memory, with the time that tokio pretends.

use std::collections::HashMap;
use std::sync::Mutex;

use imbl::OrdMap;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server as Transport;

use super::*;
use crate::catalog::server::{Ages, PeerLink, Server};
use crate::catalog::{Offers, Quota};
use crate::resolve::Answer;
use crate::samples::{catalog, link, offer, web};

/// How long a condition is waited for, in pretended time: far longer than any of ours.
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Clone)]
struct NoNames;

impl Resolve for NoNames {
    async fn lookup(&self, host: &str) -> Result<Answer, String> {
        Err(format!("{host} is no name here"))
    }
}

/// The gateways of the far cluster, by address; those that are not there cannot be reached.
#[derive(Clone, Default)]
struct Network(Arc<Mutex<Gateways>>);

type Gateways = HashMap<SocketAddr, mpsc::Sender<DuplexStream>>;

impl Dialer for Network {
    type Io = DuplexStream;

    async fn dial(&self, _: &Link, address: SocketAddr) -> Result<DuplexStream, DialError> {
        let unreachable = || DialError::Failed {
            reason: "Unreachable".into(),
            message: format!("{address}: connection refused"),
        };
        let gateway = self.0.lock().unwrap().get(&address).cloned().ok_or_else(unreachable)?;
        let (near, far) = tokio::io::duplex(64 * 1024);
        gateway.send(far).await.map_err(|_| unreachable())?;
        Ok(near)
    }

    async fn armed(&self, _: &Link) {}
}

/// One that has no certificate until it is told so.
#[derive(Clone)]
struct Arming(Network, watch::Receiver<bool>);

impl Dialer for Arming {
    type Io = DuplexStream;

    async fn dial(&self, link: &Link, address: SocketAddr) -> Result<DuplexStream, DialError> {
        if !*self.1.borrow() {
            return Err(DialError::NoCredentials);
        }
        self.0.dial(link, address).await
    }

    async fn armed(&self, _: &Link) {
        self.1.clone().wait_for(|armed| *armed).await.unwrap();
    }
}

/// One gateway of the far cluster.
struct Gateway {
    offers: watch::Sender<Offers>,
    task: tokio::task::JoinHandle<()>,
}

impl Network {
    fn gateway(&self, address: &str, catalog: Catalog, age: Duration) -> Gateway {
        self.gateway_of(PeerLink("own".into()), address, catalog, age)
    }

    fn gateway_of(
        &self,
        peer: PeerLink,
        address: &str,
        catalog: Catalog,
        age: Duration,
    ) -> Gateway {
        let (offers, receiver) =
            watch::channel(Offers::from_iter([("own".into(), offer(catalog))]));
        let ages: Arc<dyn Ages> =
            Arc::new(move |_: Instant| vec![(Arc::<str>::from("Service"), age)]);
        let service = Server::new(receiver, ages, address.into()).service();
        let service = tonic::service::interceptor::InterceptedService::new(
            service,
            move |mut request: tonic::Request<()>| {
                request.extensions_mut().insert(peer.clone());
                Ok(request)
            },
        );
        let (sender, connections) = mpsc::channel(4);
        self.0.lock().unwrap().insert(address.parse().unwrap(), sender);
        let incoming = ReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
        let task = tokio::spawn(async move {
            Transport::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        Gateway { offers, task }
    }

    /// The gateway dies with all its connections.
    fn kill(&self, address: &str, gateway: Gateway) {
        self.0.lock().unwrap().remove(&address.parse().unwrap());
        gateway.task.abort();
        drop(gateway.offers);
    }
}

impl Gateway {
    fn offer(&self, catalog: Catalog) {
        self.offers.send_replace(Offers::from_iter([("own".into(), offer(catalog))]));
    }
}

/// The near cluster's view of it.
struct Near {
    states: watch::Receiver<LinkState>,
    link: watch::Sender<Link>,
}

impl Near {
    fn new(network: &Network, addresses: &[&str]) -> Self {
        let link = link("west", &json!({"spec": {"addresses": addresses}}));
        Self::of(network, link)
    }

    fn of(network: &Network, link: Link) -> Self {
        Self::dialling(network.clone(), link)
    }

    fn dialling(dial: impl Dialer, link: Link) -> Self {
        let (link, links) = watch::channel(link);
        let (out, states) = watch::channel(LinkState::default());
        let client = Client {
            dial,
            resolve: NoNames,
            cluster: "east".into(),
            instance: "near-1".into(),
            chance: || 0.0,
        };
        tokio::spawn(run(client, links, out, std::future::pending()));
        Self { states, link }
    }

    async fn until(&mut self, what: &str, fits: impl FnMut(&LinkState) -> bool) -> LinkState {
        let waited = tokio::time::timeout(PATIENCE, self.states.wait_for(fits)).await;
        let found = waited.map(|state| state.unwrap().clone());
        found.unwrap_or_else(|_| panic!("{what}: {:?}", *self.states.borrow()))
    }

    async fn until_problem(&mut self, reason: &str) -> LinkState {
        let has = |state: &LinkState| state.problem.as_ref().is_some_and(|it| &*it.0 == reason);
        self.until(reason, has).await
    }

    async fn until_version(&mut self, version: u64) -> LinkState {
        let seen = |state: &LinkState| state.catalog.version.get("Service") == Some(&version);
        self.until("the version", seen).await
    }
}

const A: &str = "192.0.2.1:15443";
const B: &str = "192.0.2.2:15443";

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_catalog_whole_and_then_what_changes() {
    let network = Network::default();
    let gateway = network.gateway(A, catalog(1, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    let state = near.until("the snapshot", |state| state.received).await;
    assert_eq!(*state.catalog, catalog(1, &[("web", &["a"])]));
    assert!(state.connected && state.problem.is_none());

    let next = catalog(2, &[("web", &["b", "c"])]);
    gateway.offer(next.clone());
    near.until("the change", |state| *state.catalog == next).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_waited_for_its_certificate_asks_at_once_when_it_has_one() {
    let network = Network::default();
    let _gateway = network.gateway(A, catalog(1, &[("web", &["a"])]), Duration::ZERO);
    let (arm, armed) = watch::channel(false);
    let link = link("west", &json!({"spec": {"addresses": [A]}}));
    let mut near = Near::dialling(Arming(network, armed), link);
    near.until_problem("NoCredentials").await;
    // Pretended time, in which any back-off would have grown to its limit.
    tokio::time::sleep(Duration::from_mins(10)).await;
    let since = Instant::now();
    arm.send_replace(true);
    near.until("the snapshot", |state| state.received).await;
    assert!(since.elapsed() < Duration::from_millis(100), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_large_catalog_arrives_whole_or_not_at_all() {
    let network = Network::default();
    let ids: Vec<String> = (0..20_000).map(|n| format!("endpoint-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let _gateway = network.gateway(A, catalog(1, &[("web", &ids)]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    let state = near.until("something", |state| !state.catalog.services.is_empty()).await;
    assert_eq!(state.catalog.services[&web()].endpoints.len(), 20_000);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_carries_the_age_of_the_far_watches_and_the_version() {
    let network = Network::default();
    let old = Duration::from_secs(500);
    let gateway = network.gateway(A, catalog(1, &[]), old);
    let mut near = Near::new(&network, &[A]);
    let state = near.until("a heartbeat", |it| it.heard.is_some_and(|it| it.age == old)).await;
    assert!(state.connected);
    near.until("the far cluster's own age", |it| it.freshness.label() == "Stale").await;
    // Nothing of the catalog changes but the version, which therefore goes with a heartbeat.
    gateway.offer(catalog(9, &[]));
    near.until_version(9).await;
}

#[tokio::test(start_paused = true)]
async fn draining_gateways_are_announced() {
    let network = Network::default();
    let gateway = network.gateway(A, catalog(1, &[]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    let draining = imbl::OrdSet::unit("gateway-7".into());
    gateway.offer(Catalog { draining, drained_percent: 20, ..catalog(1, &[]) });
    let state = near.until("the drain", |state| !state.catalog.draining.is_empty()).await;
    assert_eq!(state.catalog.drained_percent, 20);
}

#[tokio::test(start_paused = true)]
async fn the_next_address_is_tried_when_one_is_dead_and_the_catalog_stays() {
    let network = Network::default();
    let first = network.gateway(A, catalog(1, &[("web", &["a"])]), Duration::ZERO);
    let second = network.gateway(B, catalog(1, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A, B]);
    near.until_version(1).await;
    network.kill(A, first);
    second.offer(catalog(2, &[("web", &["b"])]));
    near.until_version(2).await;

    network.kill(B, second);
    let state = near.until("the loss", |state| !state.connected).await;
    assert_eq!(state.catalog.services.len(), 1, "what was known stays");
    near.until("staleness", |state| state.freshness.label() == "Stale").await;

    let _again = network.gateway(A, catalog(3, &[("web", &["c"])]), Duration::ZERO);
    let state = near.until_version(3).await;
    assert!(state.connected && state.problem.is_none());
    near.until("freshness", |state| state.freshness == Freshness::Fresh).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_behind_answers_when_it_has_caught_up() {
    let network = Network::default();
    let first = network.gateway(A, catalog(5, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    near.until_version(5).await;
    network.kill(A, first);
    let second = network.gateway(A, catalog(4, &[]), Duration::ZERO);
    near.until_problem("Behind").await;
    assert_eq!(near.states.borrow().catalog.services.len(), 1, "the old state is not taken");
    second.offer(catalog(6, &[("web", &["b"])]));
    let state = near.until_version(6).await;
    assert_eq!(state.problem, None, "that was no reset");
}

#[tokio::test(start_paused = true)]
async fn when_no_replica_catches_up_the_newest_is_a_reset_with_a_condition() {
    let network = Network::default();
    let first = network.gateway(A, catalog(50, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A, B]);
    near.until_version(50).await;
    network.kill(A, first);
    let started = Instant::now();
    let _older = network.gateway(A, catalog(7, &[("web", &["old"])]), Duration::ZERO);
    let _newer = network.gateway(B, catalog(8, &[("web", &["new"])]), Duration::ZERO);
    let state = near.until_problem("VersionReset").await;
    assert!(started.elapsed() >= RESET_AFTER);
    assert_eq!(*state.catalog, catalog(8, &[("web", &["new"])]));
    assert!(state.connected);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_restored_under_the_stream_is_a_reset_with_a_condition() {
    let network = Network::default();
    let gateway = network.gateway(A, catalog(50, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    near.until_version(50).await;
    gateway.offer(catalog(7, &[("web", &["old"])]));
    let state = near.until_problem("VersionReset").await;
    assert_eq!(*state.catalog, catalog(7, &[("web", &["old"])]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_left() {
    let network = Network::default();
    let (sender, mut connections) = mpsc::channel(4);
    network.0.lock().unwrap().insert(A.parse().unwrap(), sender);
    // It accepts connections and says nothing, ever.
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(connection) = connections.recv().await {
            held.push(connection);
        }
    });
    let _gateway = network.gateway(B, catalog(1, &[]), Duration::ZERO);
    let mut near = Near::new(&network, &[A, B]);
    near.until_version(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_heartbeats_is_dialled_again() {
    let network = Network::default();
    let (sender, mut connections) = mpsc::channel::<DuplexStream>(4);
    let real = Network::default();
    let _gateway = real.gateway(A, catalog(1, &[]), Duration::ZERO);
    network.0.lock().unwrap().insert(A.parse().unwrap(), sender);
    let (cut, is_cut) = watch::channel(false);
    let (count, mut counted) = watch::channel(0);
    // A path that swallows everything once it is cut, and tells nobody.
    tokio::spawn(async move {
        while let Some(mut near) = connections.recv().await {
            count.send_modify(|count| *count += 1);
            let mut far = real.dial(&link("west", &json!({})), A.parse().unwrap()).await.unwrap();
            let mut is_cut = is_cut.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = async { is_cut.wait_for(|cut| *cut).await.is_ok() } => {}
                }
                std::future::pending::<()>().await;
            });
        }
    });
    let mut near = Near::new(&network, &[A]);
    near.until_version(1).await;
    cut.send_replace(true);
    near.until_problem("Silent").await;
    tokio::time::timeout(PATIENCE, counted.wait_for(|count| *count >= 2)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cluster_over_its_quota_costs_itself_a_condition() {
    let network = Network::default();
    let many = catalog(1, &[("a", &["x"]), ("b", &["y"])]);
    let _gateway = network.gateway(A, many, Duration::ZERO);
    let quota = Quota { services: 1, ..Quota::default() };
    let limited = Link { quota, ..link("west", &json!({"spec": {"addresses": [A]}})) };
    let state = Near::of(&network, limited).until_problem("QuotaExceeded").await;
    assert_eq!(state.catalog.services.len(), 1);
    let other = Near::new(&network, &[A]).until_version(1).await;
    assert_eq!(other.problem, None, "another link is not concerned");
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_link_here_is_refused() {
    let network = Network::default();
    let peer = PeerLink("stranger".into());
    let _gateway = network.gateway_of(peer, A, catalog(1, &[("web", &["a"])]), Duration::ZERO);
    let state = Near::new(&network, &[A]).until_problem("Refused").await;
    assert!(!state.received && !state.connected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_know_the_service_is_a_problem_and_no_crash() {
    let network = Network::default();
    let (sender, connections) = mpsc::channel(4);
    network.0.lock().unwrap().insert(A.parse().unwrap(), sender);
    let incoming = ReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
    tokio::spawn(async move {
        let empty = tonic::service::Routes::default();
        Transport::builder().add_routes(empty).serve_with_incoming(incoming).await.unwrap();
    });
    Near::new(&network, &[A]).until_problem("ProtocolMismatch").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_gets_the_latest_and_not_the_history() {
    use crate::catalog::generated::catalog_server::Catalog as _;
    let first = Offers::from_iter([("own".into(), offer(catalog(1, &[("web", &["a"])])))]);
    let (offers, receiver) = watch::channel(first);
    let ages: Arc<dyn Ages> = Arc::new(|_: Instant| Vec::new());
    let server = Server::new(receiver, ages, "far-1".into());
    let mut request = tonic::Request::new(crate::catalog::generated::SubscribeRequest {
        protocol: crate::catalog::PROTOCOL,
        ..Default::default()
    });
    request.extensions_mut().insert(PeerLink("own".into()));
    let mut events = server.subscribe(request).await.unwrap().into_inner();
    let mut inbox = crate::catalog::Inbox::new(Arc::default(), Quota::default());
    let mut updates = 0;
    let mut latest = Arc::default();
    let last = catalog(1001, &[("web", &["e1001"])]);
    while *latest != last {
        let event = events.next().await.unwrap().unwrap();
        if let Some(crate::catalog::generated::event::Event::Update(part)) = event.event {
            updates += 1;
            if let crate::catalog::Received::Catalog(catalog) = inbox.receive(part) {
                latest = catalog;
            }
        }
        if updates == 1 {
            for version in 2..=1001 {
                let id = format!("e{version}");
                let next = catalog(version, &[("web", &[&id])]);
                offers.send_replace(Offers::from_iter([("own".into(), offer(next))]));
            }
        }
    }
    assert_eq!(updates, 2, "a thousand changes became one update");
}

#[tokio::test(start_paused = true)]
async fn a_link_to_another_trust_domain_forgets_what_was_known() {
    let network = Network::default();
    let _gateway = network.gateway(A, catalog(9, &[("web", &["a"])]), Duration::ZERO);
    let mut near = Near::new(&network, &[A]);
    near.until_version(9).await;
    let _other = network.gateway(B, catalog(2, &[]), Duration::ZERO);
    let spec = json!({"spec": {"addresses": [B], "trustDomain": "new.example"}});
    near.link.send_replace(link("west", &spec));
    let state = near.until_version(2).await;
    assert_eq!(state.problem, None, "that is no reset but another cluster");
}

#[test]
fn what_must_be_seen_is_the_newest_of_each_kind_that_was_offered() {
    let version = |pairs: &[(&str, u64)]| -> Version {
        pairs.iter().map(|(kind, at)| (Arc::from(*kind), *at)).collect()
    };
    let now = Instant::now();
    let mut behind = Behind::default();
    behind.note(version(&[("Service", 5), ("EndpointSlice", 1)]), now);
    behind.note(version(&[("Service", 4), ("EndpointSlice", 3)]), now);
    let known = version(&[("Service", 9)]);
    assert_eq!(behind.asks(&known, now), (known.clone(), false));
    let newest = version(&[("Service", 5), ("EndpointSlice", 3)]);
    assert_eq!(behind.asks(&known, now + RESET_AFTER), (newest, true));
    assert_eq!(OrdMap::<Arc<str>, u64>::new(), Behind::default().offered);
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_is_nothing_to_decide_on_and_a_lost_stream_is() {
    let at = Instant::now();
    let state =
        LinkState { heard: Some(Heard { at, age: Duration::ZERO }), ..LinkState::default() };
    let later = Heard { at: at + Duration::from_secs(5), age: Duration::ZERO };
    assert!(state.decides_alike(&LinkState { heard: Some(later), ..state.clone() }));
    let lost = LinkState { connected: !state.connected, ..state.clone() };
    assert!(!state.decides_alike(&lost));
}
