//! What one process is told at its start; everything else comes from objects.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::model::Name;
use config::model::identity::TrustDomain;
use discovery::ports::PortRange;
use jiff::SignedDuration;

/// Which part of Spanway a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Carries traffic; only reads the API server.
    Gateway,
    /// Writes: mirrored objects, conditions, certificates. Several may run; one leads.
    Controller,
    /// Both, for clusters that are simulated or small.
    All,
}

impl Role {
    /// Whether traffic is carried.
    pub const fn carries(self) -> bool {
        matches!(self, Self::Gateway | Self::All)
    }

    /// Whether objects are written.
    pub const fn controls(self) -> bool {
        matches!(self, Self::Controller | Self::All)
    }
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSettings {
    /// The API server of the cluster that this process runs in, or of the kubeconfig.
    Kubernetes,
    /// A directory of the same YAML.
    Directory(PathBuf),
}

/// All settings of one process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which part this is.
    pub role: Role,
    /// Where objects come from.
    pub source: SourceSettings,
    /// The name of this cluster, as other clusters call it.
    pub cluster: Arc<str>,
    /// Its trust domain: distinct in each cluster, without a default.
    pub trust_domain: TrustDomain,
    /// The namespace that Spanway runs in.
    pub namespace: Arc<str>,
    /// The pod, or what stands for it.
    pub pod: Pod,
    /// Addresses on which listeners are bound.
    pub listen: Vec<IpAddr>,
    /// The port of link connections.
    pub link_port: u16,
    /// Where the admin pages are: on loopback.
    pub admin: SocketAddr,
    /// Where `/ready`, `/live` and `/metrics` are for the kubelet and Prometheus.
    pub health: Option<SocketAddr>,
    /// Where controllers listen for gateways, and where gateways find them.
    pub control: Control,
    /// From which range mirrored ports and listeners get their container ports.
    pub ports: PortRange,
    /// How long a container port rests before somebody else gets it.
    pub port_rest: SignedDuration,
    /// Worker threads.
    pub workers: usize,
    /// Calls over links that are ready for one endpoint at most.
    pub ready: usize,
    /// How long a new table waits for slices of the Services that it is the first to name.
    pub first_slices: Duration,
    /// How long the gateway takes to leave.
    pub drain: DrainSettings,
    /// How long a certificate of a gateway lasts.
    pub certificate_life: Duration,
    /// Whether requests are logged to standard output.
    pub access_log: bool,
    /// `externalTrafficPolicy` of the Services of Gateways.
    pub external_traffic_policy: Arc<str>,
    /// The labels of the gateways' pods, by which the Services of Gateways select them.
    pub gateway_labels: Vec<(String, String)>,
    /// Namespaces from which Secrets may be read; all where none is named.
    pub secret_namespaces: Vec<String>,
}

/// The pod of a process.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its name.
    pub name: Name,
    /// Its UID: the gateway's instance id.
    pub uid: Arc<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The `ServiceAccount`s of gateways and of controllers.
    pub gateway_account: Name,
    /// The same for controllers.
    pub controller_account: Name,
}

/// The port between gateways and controllers.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where a controller listens.
    pub listen: SocketAddr,
    /// Where gateways find controllers: hosts with ports.
    pub addresses: Vec<String>,
    /// How other processes reach this controller.
    pub advertise: Arc<str>,
    /// The file with the token by which a gateway proves who it is; where it is expected if absent.
    pub token: Option<PathBuf>,
}

/// How long a new table waits for the first slices of a Service, unless it is set otherwise. Objects
/// of one `kubectl apply` arrive over several watches, some milliseconds apart.
pub const FIRST_SLICES_WAIT: Duration = Duration::from_secs(1);

/// How long a gateway takes to leave. The pod's grace period is longer than the sum.
#[derive(Clone, Copy, Debug)]
pub struct DrainSettings {
    /// At most so long until the leader confirms that no slice names the gateway.
    pub leave: Duration,
    /// So long after that for kube-proxy on all nodes.
    pub settle: Duration,
    /// So long for what is under way.
    pub drain: Duration,
    /// So long for the catalogs of links before a gateway that has none turns ready.
    pub catalogs: Duration,
    /// So long for the leader's word that the gateway stands in every slice.
    pub slices: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            leave: Duration::from_secs(10),
            // kube-proxy takes a change within a second; a busy node needs a few.
            settle: Duration::from_secs(3),
            drain: Duration::from_secs(20),
            // A gateway without them answers 503 for what the links have. Two dials that lead nowhere
            // take ten seconds; where a cluster is away, that long is waited in vain.
            catalogs: Duration::from_secs(15),
            slices: Duration::from_secs(10),
        }
    }
}
