//! Whole clusters in this process: a gateway with its controller over a directory of YAML, on a
//! loopback address of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use config::model::Name;
use gateway::app::{App, Views};
use gateway::settings::{
    Control, DrainSettings, FIRST_SLICES_WAIT, Pod, Role, Settings, SourceSettings,
};
use gateway::snapshot::Snapshot;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::wire::WAIT;

/// The port of link connections, on the address of each cluster.
const LINK_PORT: u16 = 15_443;
/// Between two looks at what a test waits for.
const LOOK: Duration = Duration::from_millis(5);
/// The class of our Gateways, and two namespaces.
const BASE: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: spanway}, spec: {controllerName: spanway.dev/gateway-controller}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: infra}}
";

/// A running cluster.
pub struct Cluster {
    /// The process.
    pub app: App,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    folder: TempDir,
    /// The controller, where it is a process apart.
    controller: Option<App>,
}

impl Cluster {
    /// Starts a cluster with these objects and waits until it is ready.
    pub async fn start(name: &str, yaml: &str) -> Self {
        Self::start_with(name, yaml, |_| {}).await
    }

    /// The same with other settings.
    pub async fn start_with(name: &str, yaml: &str, change: impl FnOnce(&mut Settings)) -> Self {
        // Whoever was first in this process: all of them install the same.
        let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // `RUST_LOG=debug` shows what the gateways of a test that fails have to say.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _logged =
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let folder = TempDir::new().expect("a folder");
        prepare(folder.path(), yaml);
        let address = next_address();
        let mut settings = settings(name, address, folder.path());
        change(&mut settings);
        let controller = match settings.role {
            Role::Gateway => Some(App::start(controller_of(&mut settings)).await),
            Role::Controller | Role::All => None,
        };
        let controller = controller.map(|app| app.expect("the controller starts"));
        let app = App::start(settings).await.expect("the cluster starts");
        let cluster = Self { app, name: name.to_owned(), address, folder, controller };
        cluster.ready().await;
        cluster
    }

    /// What can be seen of it.
    pub const fn views(&self) -> &Views {
        self.app.views()
    }

    /// Writes a file of objects.
    pub fn write(&self, file: &str, yaml: &str) {
        write(self.folder.path(), file, yaml);
    }

    /// Removes a file of objects.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.folder.path().join(file)).expect("the file is there");
    }

    /// Waits until the gateway is ready.
    pub async fn ready(&self) {
        let mut readiness = self.views().readiness.clone();
        let ready = readiness.wait_for(gateway::app::Readiness::is_ready);
        let ready = tokio::time::timeout(WAIT, ready).await.map(|ready| ready.map(|_| ()));
        assert!(matches!(ready, Ok(Ok(()))), "not ready: {:?}", self.views().readiness.borrow());
    }

    /// The snapshot of now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.views().published.load_full()
    }

    /// Waits until the snapshot is so; `what` says how.
    pub async fn until(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        eventually(what, || holds(&self.snapshot())).await;
    }

    /// Where `namespace/name` listens for its `port`, if it does.
    pub fn listening(&self, owner: &str, port: u16) -> Option<SocketAddr> {
        let snapshot = self.snapshot();
        let mut ports = snapshot.table.ports.iter();
        let is = |it: &config::table::Port| it.owner.port == port && it.name.to_string() == owner;
        let found = ports.find(|(_, it)| is(it));
        let address = found.map(|(number, _)| SocketAddr::new(self.address, *number));
        address.filter(|address| listens(*address))
    }

    /// Where `namespace/name` listens for its `port`, once it does.
    pub async fn port(&self, owner: &str, port: u16) -> SocketAddr {
        let known = || {
            self.snapshot().table.ports.values().map(|it| it.name.to_string()).collect::<Vec<_>>()
        };
        let until = Instant::now() + WAIT;
        loop {
            if let Some(address) = self.listening(owner, port) {
                return address;
            }
            assert!(Instant::now() < until, "{owner} has no port {port}, only {:?}", known());
            sleep(LOOK).await;
        }
    }

    /// The certificates that this cluster's identities end in.
    pub fn bundle(&self) -> String {
        bundle(self.folder.path()).expect("a cluster that runs has its bundle")
    }

    /// A `ClusterLink` to this cluster as `spec`, and what else is said.
    pub fn link(&self, more: &str) -> String {
        link(&self.name, &self.address.to_string(), &self.bundle(), more)
    }

    /// Waits until the catalog of this link was received.
    pub async fn linked(&self, link: &str) {
        let derived = self.views().derived.clone();
        let received = || derived.borrow().known.get(link).is_some_and(|it| it.state.received);
        eventually(&format!("the catalog of {link}"), received).await;
    }

    /// Ends it at once.
    pub async fn end(mut self) {
        self.app.end().await;
        if let Some(mut controller) = self.controller {
            controller.end().await;
        }
    }
}

/// Writes these objects, and those that every cluster has, into the directory of a cluster.
pub fn prepare(folder: &Path, yaml: &str) {
    write(folder, "base.yaml", BASE);
    write(folder, "objects.yaml", yaml);
}

/// The certificates that the identities of the cluster over this directory end in, once it has
/// some.
pub fn bundle(folder: &Path) -> Option<String> {
    std::fs::read_to_string(folder.join(".spanway/bundle.pem")).ok()
}

/// The text of a `ClusterLink`.
pub fn link(name: &str, address: &str, bundle: &str, more: &str) -> String {
    let bundle = bundle.trim().replace('\n', "\n    ");
    format!(
        "apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: {{name: {name}}}
spec:
  addresses: ['{address}:{LINK_PORT}']
  trustDomain: {name}.test
  gateways:
  - 'spiffe://{name}.test/ns/spanway-system/sa/spanway-gateway'
  - 'spiffe://{name}.test/ns/spanway-system/sa/spanway-controller'
  bundle: |
    {bundle}
{more}"
    )
}

/// Waits until `holds`.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + WAIT;
    while !holds() {
        assert!(Instant::now() < until, "not within {WAIT:?}: {what}");
        sleep(LOOK).await;
    }
}

/// A Gateway `infra/<name>` with these listeners.
pub fn gateway(name: &str, listeners: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: infra}}, \
         spec: {{gatewayClassName: spanway, listeners: [{listeners}]}}}}\n---\n"
    )
}

/// An HTTP listener on port 80 for routes from everywhere.
pub const HTTP: &str =
    "{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}";

/// An `HTTPRoute` `shop/<name>` of the Gateway `infra/<gateway>`.
pub fn route(name: &str, gateway: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop}}, \
         spec: {{parentRefs: [{{name: {gateway}, namespace: infra}}], {spec}}}}}\n---\n"
    )
}

/// A Service `shop/<name>` with port 80 and these endpoints.
pub fn service(name: &str, port: &str, endpoints: &[SocketAddr]) -> String {
    let mut yaml = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{ports: [{{name: main, port: 80{port}}}]}}}}\n---\n"
    );
    yaml.push_str(&slices(name, port, endpoints));
    yaml
}

/// The slices of `shop/<name>`: one for each endpoint, because each has a port of its own.
pub fn slices(name: &str, port: &str, endpoints: &[SocketAddr]) -> String {
    let slice = |(number, endpoint): (usize, &SocketAddr)| {
        format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, \
             metadata: {{name: {name}-{number}, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}, \
             ports: [{{name: main, port: {}{port}}}], endpoints: [{{addresses: ['{}'], conditions: {{ready: true}}}}]}}\n---\n",
            endpoint.port(),
            endpoint.ip()
        )
    };
    endpoints.iter().enumerate().map(slice).collect()
}

/// A `ServiceExport` of `shop/<name>`.
pub fn export(name: &str) -> String {
    format!(
        "{{apiVersion: multicluster.x-k8s.io/v1alpha1, kind: ServiceExport, metadata: {{name: {name}, namespace: shop}}}}\n---\n"
    )
}

/// Writes a file into the directory of a cluster.
pub fn write(folder: &Path, file: &str, yaml: &str) {
    // Whole at once, as editors do.
    let whole = folder.join(format!(".{file}.new"));
    std::fs::write(&whole, yaml).expect("the folder is ours");
    std::fs::rename(&whole, folder.join(file)).expect("the folder is ours");
}

/// Whether somebody listens there. A connection would tell too, and reach an endpoint.
fn listens(address: SocketAddr) -> bool {
    let IpAddr::V4(ip) = address.ip() else { return false };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    sockets.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&local) && fields.nth(1) == Some("0A")
    })
}

/// Each cluster has an address of loopback for itself, each process a range of them.
pub fn next_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Relaxed);
    let process = u16::try_from(std::process::id() % 16_000).unwrap_or_default();
    let [high, low] = process.to_be_bytes();
    let last = u8::try_from(number).expect("a process starts few clusters");
    IpAddr::V4(Ipv4Addr::new(127, 64 + high, low, last))
}

/// The controller of a gateway, which is told where it is.
fn controller_of(gateway: &mut Settings) -> Settings {
    let mut controller = gateway.clone();
    controller.role = Role::Controller;
    controller.admin.set_port(controller.admin.port() + 1);
    gateway.control.addresses = vec![controller.control.listen.to_string()];
    controller
}

fn settings(name: &str, address: IpAddr, folder: &Path) -> Settings {
    let account = |it: &str| Name::new("spanway-system", it);
    Settings {
        role: Role::All,
        source: SourceSettings::Directory(folder.to_owned()),
        cluster: name.into(),
        trust_domain: format!("{name}.test").parse().expect("a trust domain"),
        namespace: "spanway-system".into(),
        pod: Pod {
            name: account(&format!("{name}-gateway")),
            uid: format!("{name}-instance").into(),
            addresses: vec![address],
            gateway_account: account("spanway-gateway"),
            controller_account: account("spanway-controller"),
        },
        listen: vec![address],
        link_port: LINK_PORT,
        admin: SocketAddr::new(address, 15_000),
        health: None,
        control: Control {
            listen: SocketAddr::new(address, 15_012),
            addresses: Vec::new(),
            advertise: format!("{address}:15012").into(),
            token: None,
        },
        ports: discovery::ports::PortRange::default(),
        port_rest: discovery::ports::REST,
        workers: 1,
        // Endpoints that a test plays count their connections.
        ready: 0,
        first_slices: FIRST_SLICES_WAIT,
        drain: DrainSettings {
            leave: Duration::from_millis(500),
            settle: Duration::from_millis(50),
            drain: Duration::from_secs(3),
            catalogs: Duration::from_millis(500),
            slices: Duration::from_secs(2),
        },
        certificate_life: Duration::from_hours(1),
        access_log: false,
        external_traffic_policy: "Cluster".into(),
        gateway_labels: Vec::new(),
        secret_namespaces: Vec::new(),
    }
}
