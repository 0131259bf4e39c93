//! The two clusters: directories, identities, gateways, sample services.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use config::model::Name;
use config::model::identity::TrustDomain;
use config::table::PortServes;
use discovery::ports::{PortRange, REST};
use rustls_pki_types::UnixTime;
use tokio::task::{JoinHandle, JoinSet};

use super::changes::{weights, write};
use super::load::{Expects, RuleBook, Stream};
use super::service::{self, Speaks};
use super::yaml;
use crate::admin;
use crate::app::{App, Views};
use crate::identity::authority::{Terms, to_pem};
use crate::identity::store::AuthorityStore;
use crate::link::ahead::READY_MAX;
use crate::settings::{
    Control, DrainSettings, FIRST_SLICES_WAIT, Pod, Role, Settings, SourceSettings,
};

/// The cluster in which calls begin.
pub(super) const EAST: &str = "east";
/// The other.
pub(super) const WEST: &str = "west";

/// How long the authorities of the simulation last.
const AUTHORITY_LIFE: Duration = Duration::from_hours(24);
/// How long a leaf lasts: short, so that a run of 20 seconds sees one replaced.
const LEAF_LIFE: Duration = Duration::from_secs(20);
/// Container ports of one cluster: far more than the samples need.
const PORTS: u16 = 64;
/// The lowest container port, and where the search for free ones ends.
const PORTS_FROM: u16 = 20_000;
const PORTS_TO: u16 = 32_000;
/// How often is looked whether everything is there.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which samples run where: cluster, service, what it speaks, how many.
const SAMPLES: [(&str, &str, Speaks, usize); 5] = [
    (EAST, "cart", Speaks::Http1, 3),
    (WEST, "cart", Speaks::Http1, 2),
    (WEST, "catalog", Speaks::Http1, 3),
    (WEST, "search", Speaks::Http2, 2),
    (WEST, "quote", Speaks::Grpc, 3),
];

/// One simulated cluster.
struct Simulated {
    name: &'static str,
    dir: PathBuf,
    app: App,
    admin: SocketAddr,
    link: SocketAddr,
    _served: JoinSet<()>,
}

/// The sample instances of one Service.
struct Sample {
    cluster: &'static str,
    service: &'static str,
    endpoints: Vec<SocketAddr>,
    tasks: Vec<JoinHandle<()>>,
}

/// Both clusters and what runs in them.
pub(super) struct World {
    root: PathBuf,
    east: Simulated,
    west: Simulated,
    samples: Vec<Sample>,
    rotations: Arc<AtomicU64>,
    _watchers: JoinSet<()>,
}

impl World {
    /// Starts everything, below `root`.
    pub(super) async fn start(root: &Path) -> anyhow::Result<Self> {
        let mut samples = Vec::new();
        for (cluster, service, speaks, count) in SAMPLES {
            samples.push(Sample::start(cluster, service, speaks, count).await?);
        }
        let plans = [Plan::new(root, EAST)?, Plan::new(root, WEST)?];
        let [east, west] = &plans;
        east.write(west, &samples).await?;
        west.write(east, &samples).await?;
        let [east, west] = plans;
        let (east, west) = (east.start().await?, west.start().await?);
        let rotations = Arc::<AtomicU64>::default();
        let mut watchers = JoinSet::new();
        for cluster in [&east, &west] {
            let certificate = cluster.app.views().certificate.clone();
            watchers.spawn(count_rotations(certificate, Arc::clone(&rotations)));
        }
        let root = root.to_owned();
        Ok(Self { root, east, west, samples, rotations, _watchers: watchers })
    }

    /// Waits until everything that carries load is there.
    pub(super) async fn ready(&self) {
        while !self.missing().is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What is not there yet.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for cluster in [&self.east, &self.west] {
            let readiness = cluster.app.views().readiness.borrow().clone();
            if !readiness.is_ready() {
                missing.push(format!("{} is not ready: {readiness:?}", cluster.name));
            }
        }
        if self.ingress().is_none() {
            missing.push("the Gateway `web` of east has no port".to_owned());
        }
        for service in ["catalog", "search", "quote"] {
            if self.mirrored(service).is_none() {
                missing.push(format!("east has no port with endpoints for `{service}` of west"));
            }
        }
        if self.east_endpoints("cart-west") == 0 {
            missing.push("east has no endpoints for `cart-west`".to_owned());
        }
        missing
    }

    /// What runs where, and what to try.
    pub(super) fn introduction(&self) -> Vec<String> {
        let ingress = self.ingress().unwrap_or_default();
        let mut lines = vec![format!("clusters east and west, from {}", self.root.display())];
        for cluster in [&self.east, &self.west] {
            let Simulated { name, dir, admin, link, .. } = cluster;
            lines.push(format!(
                "  {name}: link {link}, admin http://{admin}/, YAML {}",
                dir.display()
            ));
        }
        for sample in &self.samples {
            let Sample { cluster, service, endpoints, .. } = sample;
            lines.push(format!("  {service} in {cluster}: {} endpoints", endpoints.len()));
        }
        lines.push("try:".to_owned());
        lines.push(format!("  curl -i http://127.0.0.1:{ingress}/cart      # by weight: east, or west over mutual TLS"));
        lines.push(format!(
            "  curl -i http://127.0.0.1:{ingress}/          # catalog, which only west has"
        ));
        if let Some(port) = self.mirrored("catalog") {
            lines.push(format!(
                "  curl -i http://127.0.0.1:{port}/          # the mirrored Service catalog"
            ));
        }
        lines.push(format!("  curl -s http://{}/metrics", self.east.admin));
        lines
    }

    /// The load: where, what, how often, and what the answers have to be.
    pub(super) fn streams(&self, book: &Arc<RuleBook>) -> Vec<Stream> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ingress = local(self.ingress().unwrap_or_default());
        let ruled = || Expects::Ruled(Arc::clone(book));
        let from = |service| Expects::From { service, cluster: WEST };
        let mirrored = |service| local(self.mirrored(service).unwrap_or_default());
        // Address, protocol, path, bytes of body, connections, expectation.
        let kinds = [
            (ingress, Speaks::Http1, "/cart", 0, 6, ruled()),
            (ingress, Speaks::Http1, "/cart/order", 256, 4, ruled()),
            (ingress, Speaks::Http1, "/", 0, 2, from("catalog")),
            (mirrored("catalog"), Speaks::Http1, "/items", 0, 4, from("catalog")),
            (mirrored("catalog"), Speaks::Http1, "/items", 1024, 4, from("catalog")),
            (mirrored("search"), Speaks::Http2, "/find", 64, 4, from("search")),
            (mirrored("quote"), Speaks::Grpc, "/shop.Quote/Get", 64, 4, from("quote")),
        ];
        let mut streams = Vec::new();
        for (address, speaks, path, body, connections, expects) in kinds {
            let stream = Stream {
                address,
                speaks,
                host: "shop.example".to_owned(),
                path: path.to_owned(),
                body,
                pace: Duration::from_millis(10),
                expects,
            };
            streams.extend(std::iter::repeat_n(stream, connections));
        }
        streams
    }

    /// The files with endpoints: file, Service, instances.
    pub(super) fn samples(&self) -> impl Iterator<Item = (PathBuf, &'static str, &[SocketAddr])> {
        self.samples.iter().map(|sample| {
            let cluster = if sample.cluster == EAST { &self.east } else { &self.west };
            (slices_file(&cluster.dir, sample.service), sample.service, &*sample.endpoints)
        })
    }

    /// The file of the route that changes.
    pub(super) fn route_file(&self) -> PathBuf {
        self.east.dir.join("route-cart.yaml")
    }

    /// Snapshots published in both clusters.
    pub(super) fn swaps(&self) -> u64 {
        self.east.app.views().metrics.swaps() + self.west.app.views().metrics.swaps()
    }

    /// Leaf certificates replaced so far.
    pub(super) fn rotations(&self) -> u64 {
        self.rotations.load(Relaxed)
    }

    /// Ends everything at once; the exit code of a run that was interrupted.
    pub(super) async fn end(mut self) -> u8 {
        self.east.app.end().await;
        self.west.app.end().await;
        self.samples.iter().flat_map(|sample| &sample.tasks).for_each(JoinHandle::abort);
        crate::cli::exit::OK
    }

    fn ingress(&self) -> Option<u16> {
        let snapshot = self.views().published.load_full();
        let web = Name::new(yaml::NAMESPACE, "web");
        let mut ports = snapshot.table.ports.iter();
        ports.find(|(_, port)| port.name == web).map(|(number, _)| *number)
    }

    /// The container port of a mirrored Service of east, once it has endpoints.
    fn mirrored(&self, service: &str) -> Option<u16> {
        let snapshot = self.views().published.load_full();
        let name = Name::new(yaml::NAMESPACE, service);
        let found = snapshot.table.ports.iter().find_map(|(number, port)| match &port.serves {
            PortServes::Mirrored(mirrored) if port.name == name => {
                Some((*number, Arc::clone(mirrored)))
            }
            _ => None,
        });
        let (number, mirrored) = found?;
        let set = snapshot.endpoints.sets.get(&mirrored.backend)?;
        (!set.endpoints.is_empty()).then_some(number)
    }

    fn east_endpoints(&self, service: &str) -> usize {
        let snapshot = self.views().published.load_full();
        let of_service = |key: &config::model::BackendKey| *key.port().service.name == *service;
        let sets = snapshot.endpoints.sets.iter().filter(|(key, _)| of_service(key));
        sets.map(|(_, set)| set.endpoints.len()).sum()
    }

    fn views(&self) -> &Views {
        self.east.app.views()
    }
}

async fn count_rotations(
    mut certificate: tokio::sync::watch::Receiver<crate::identity::rotate::Status>,
    count: Arc<AtomicU64>,
) {
    // The first certificate may be there already: it replaces none.
    let mut until = certificate.borrow_and_update().until;
    while certificate.changed().await.is_ok() {
        let now = certificate.borrow_and_update().until;
        if until.is_some() && now != until {
            count.fetch_add(1, Relaxed);
        }
        until = now.or(until);
    }
}

impl Sample {
    async fn start(
        cluster: &'static str,
        service: &'static str,
        speaks: Speaks,
        count: usize,
    ) -> anyhow::Result<Self> {
        let (mut endpoints, mut tasks) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (address, task) = service::start(cluster, service, number, speaks).await?;
            endpoints.push(address);
            tasks.push(task);
        }
        Ok(Self { cluster, service, endpoints, tasks })
    }
}

fn slices_file(dir: &Path, service: &str) -> PathBuf {
    dir.join(format!("endpoints-{service}.yaml"))
}

/// A cluster before it runs.
struct Plan {
    name: &'static str,
    dir: PathBuf,
    trust_domain: TrustDomain,
    link: SocketAddr,
    ports: PortRange,
}

impl Plan {
    fn new(root: &Path, name: &'static str) -> anyhow::Result<Self> {
        let dir = root.join(name);
        std::fs::create_dir_all(dir.join(".spanway"))
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        // West looks from the other half on, so that the two do not meet.
        let from = if name == EAST { PORTS_FROM } else { PORTS_FROM.midpoint(PORTS_TO) };
        Ok(Self {
            name,
            dir,
            trust_domain: format!("{name}.example").parse()?,
            link: free_port()?,
            ports: free_range(from)?,
        })
    }

    /// Writes the objects of this cluster; those that are there already are the user's.
    async fn write(&self, other: &Self, samples: &[Sample]) -> anyhow::Result<()> {
        let bundle = other.bundle().await?;
        let domain = other.trust_domain.to_string();
        write(&self.dir.join("link.yaml"), &yaml::link(other.name, other.link, &domain, &bundle))?;
        for sample in samples.iter().filter(|sample| sample.cluster == self.name) {
            write(
                &slices_file(&self.dir, sample.service),
                &yaml::slices(sample.service, &sample.endpoints),
            )?;
        }
        for (cluster, service, speaks, _) in SAMPLES {
            if cluster == self.name {
                keep(
                    &self.dir.join(format!("service-{service}.yaml")),
                    &yaml::service(service, speaks),
                )?;
            }
        }
        if self.name == EAST {
            let (here, there) = weights(1);
            keep(&self.dir.join("gateway.yaml"), &yaml::gateway())?;
            keep(&self.dir.join("route-catalog.yaml"), &yaml::catalog_route())?;
            write(&self.dir.join("route-cart.yaml"), &yaml::cart_route(1, here, there))?;
        }
        Ok(())
    }

    /// The authority's certificate; the authority is made if there is none.
    async fn bundle(&self) -> anyhow::Result<String> {
        let store = AuthorityStore::Directory(self.dir.join(".spanway"));
        let terms = Terms { now: UnixTime::now(), life: AUTHORITY_LIFE, serial: rand::random() };
        let authority = store.open(&self.trust_domain, terms).await?;
        Ok(authority.bundle().iter().map(to_pem).collect())
    }

    async fn start(self) -> anyhow::Result<Simulated> {
        let settings = self.settings();
        let bound = admin::bind(&settings).await?;
        let admin = bound.address()?;
        let app = App::start(settings).await?;
        let served = bound.serve(app.views().clone());
        let Self { name, dir, link, .. } = self;
        Ok(Simulated { name, dir, app, admin, link, _served: served })
    }

    fn settings(&self) -> Settings {
        let namespace = "spanway-system";
        let account = |name: &str| Name::new(namespace, name);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Settings {
            role: Role::All,
            source: SourceSettings::Directory(self.dir.clone()),
            cluster: self.name.into(),
            trust_domain: self.trust_domain.clone(),
            namespace: namespace.into(),
            pod: Pod {
                name: account(&format!("spanway-{}", self.name)),
                uid: format!("{}-gateway", self.name).into(),
                addresses: vec![Ipv4Addr::LOCALHOST.into()],
                gateway_account: account("spanway-gateway"),
                controller_account: account("spanway-controller"),
            },
            listen: vec![Ipv4Addr::LOCALHOST.into()],
            link_port: self.link.port(),
            admin: anywhere,
            health: None,
            control: Control {
                listen: anywhere,
                addresses: Vec::new(),
                advertise: "127.0.0.1".into(),
                token: None,
            },
            ports: self.ports,
            port_rest: REST,
            workers: 1,
            ready: READY_MAX,
            first_slices: FIRST_SLICES_WAIT,
            drain: DrainSettings::default(),
            certificate_life: LEAF_LIFE,
            access_log: false,
            external_traffic_policy: "Cluster".into(),
            gateway_labels: Vec::new(),
            secret_namespaces: Vec::new(),
        }
    }
}

/// Writes a file unless there is one.
fn keep(file: &Path, text: &str) -> std::io::Result<()> {
    if file.exists() { Ok(()) } else { write(file, text) }
}

fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The first range from `from` on in which every port is free.
fn free_range(from: u16) -> anyhow::Result<PortRange> {
    let mut first = from;
    while first + PORTS <= PORTS_TO {
        let last = first + PORTS - 1;
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..=last).all(free) {
            return Ok(PortRange::new(first, last, PORTS_TO)?);
        }
        first += PORTS;
    }
    anyhow::bail!("no {PORTS} free ports in a row between {from} and {PORTS_TO} on 127.0.0.1")
}
