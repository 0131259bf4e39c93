//! `spanway run`: a gateway, a controller, or both.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use config::model::Name;
use config::model::identity::TrustDomain;
use discovery::ports::PortRange;
use jiff::SignedDuration;
use tokio::runtime::Runtime;

use super::ends::Ends;
use super::exit;
use crate::admin;
use crate::app::App;
use crate::link::ahead::READY_MAX;
use crate::listener::LINK_PORT;
use crate::settings::{
    Control, DrainSettings, FIRST_SLICES_WAIT, Pod, Role, Settings, SourceSettings,
};

/// Threads for what waits for the disk, which is done one after the other, and for names. Each has
/// memory of its own that the others cannot use: with ten of them a burst of objects left 5 MB more.
const WAITING_THREADS: usize = 2;

/// How much nicer threads are that serve no requests.
#[cfg(target_os = "linux")]
const CONTROL_NICE: i32 = 10;

/// Flags of `spanway run`; each may stand in the environment as well.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which part of Spanway this process is.
    #[arg(long, env = "SPANWAY_ROLE", value_enum, default_value = "all")]
    role: Role,
    /// A directory of YAML in place of a Kubernetes API server.
    #[arg(long, env = "SPANWAY_DIR")]
    dir: Option<PathBuf>,
    /// The name of this cluster, as other clusters call it.
    #[arg(long, env = "SPANWAY_CLUSTER")]
    cluster: String,
    /// The SPIFFE trust domain of this cluster; no other cluster has the same.
    #[arg(long, env = "SPANWAY_TRUST_DOMAIN")]
    trust_domain: String,
    /// The namespace that Spanway runs in.
    #[arg(long, env = "SPANWAY_NAMESPACE", default_value = "spanway-system")]
    namespace: String,
    /// The name of this pod.
    #[arg(long, env = "SPANWAY_POD_NAME", default_value = "spanway")]
    pod_name: String,
    /// The UID of this pod.
    #[arg(long, env = "SPANWAY_POD_UID", default_value = "spanway")]
    pod_uid: String,
    /// The addresses of this pod.
    #[arg(long, env = "SPANWAY_POD_IPS", value_delimiter = ',')]
    pod_ips: Vec<IpAddr>,
    /// The `ServiceAccount` of gateways.
    #[arg(long, env = "SPANWAY_GATEWAY_ACCOUNT", default_value = "spanway-gateway")]
    gateway_account: String,
    /// The `ServiceAccount` of controllers.
    #[arg(long, env = "SPANWAY_CONTROLLER_ACCOUNT", default_value = "spanway-controller")]
    controller_account: String,
    /// Addresses on which listeners are bound.
    #[arg(long, env = "SPANWAY_LISTEN", value_delimiter = ',', default_value = "::")]
    listen: Vec<IpAddr>,
    /// The port of link connections.
    #[arg(long, env = "SPANWAY_LINK_PORT", default_value_t = LINK_PORT)]
    link_port: u16,
    /// Where the admin pages are; keep it on loopback.
    #[arg(long, env = "SPANWAY_ADMIN", default_value = "127.0.0.1:15000")]
    admin: SocketAddr,
    /// Where /ready, /live and /metrics are for the kubelet and Prometheus; nowhere if absent.
    #[arg(long, env = "SPANWAY_HEALTH")]
    health: Option<SocketAddr>,
    /// Where a controller listens for gateways.
    #[arg(long, env = "SPANWAY_CONTROL_LISTEN", default_value = "[::]:15012")]
    control_listen: SocketAddr,
    /// Where gateways find controllers.
    #[arg(long, env = "SPANWAY_CONTROL_ADDRESSES", value_delimiter = ',')]
    control_addresses: Vec<String>,
    /// How gateways reach this controller while it leads.
    #[arg(long, env = "SPANWAY_CONTROL_ADVERTISE", default_value = "127.0.0.1:15012")]
    control_advertise: String,
    /// The token by which a gateway proves who it is to its controller: the projected one of its
    /// `ServiceAccount`, with the audience `spanway.dev/ca`
    /// [/var/run/secrets/spanway/token], or one that the controller of a directory has made
    /// [.spanway/gateway-token in it].
    #[arg(long, env = "SPANWAY_TOKEN")]
    token: Option<PathBuf>,
    /// Container ports for listeners and mirrored ports, below the ephemeral ones.
    #[arg(long, env = "SPANWAY_PORTS", default_value = "20000-31999")]
    ports: String,
    /// How long a container port rests before somebody else gets it.
    #[arg(long, env = "SPANWAY_PORT_REST", default_value = "10m", value_parser = duration)]
    port_rest: Duration,
    /// Worker threads; as many as there are cores if absent.
    #[arg(long, env = "SPANWAY_WORKERS")]
    workers: Option<usize>,
    /// Connections over links that are ready for an endpoint that was called lately, at
    /// most; 0 opens none ahead.
    #[arg(long, env = "SPANWAY_READY_CALLS", default_value_t = READY_MAX)]
    ready_calls: usize,
    /// How long the leader has to confirm that no slice names a leaving gateway.
    #[arg(long, env = "SPANWAY_LEAVE", default_value = "10s", value_parser = duration)]
    leave: Duration,
    /// How long after that kube-proxy has on all nodes.
    #[arg(long, env = "SPANWAY_SETTLE", default_value = "3s", value_parser = duration)]
    settle: Duration,
    /// How long what is under way has to finish.
    #[arg(long, env = "SPANWAY_DRAIN", default_value = "20s", value_parser = duration)]
    drain: Duration,
    /// How long the certificate of a gateway lasts.
    #[arg(long, env = "SPANWAY_CERTIFICATE_LIFE", default_value = "24h", value_parser = duration)]
    certificate_life: Duration,
    /// Logs every request as a line of JSON on standard output.
    #[arg(long, env = "SPANWAY_ACCESS_LOG")]
    access_log: bool,
    /// `externalTrafficPolicy` of the Services of Gateways.
    #[arg(long, env = "SPANWAY_EXTERNAL_TRAFFIC_POLICY", default_value = "Cluster", value_parser = ["Cluster", "Local"])]
    external_traffic_policy: String,
    /// Labels of the gateways' pods, as `key=value`.
    #[arg(long, env = "SPANWAY_GATEWAY_LABELS", value_delimiter = ',', value_parser = label)]
    gateway_labels: Vec<(String, String)>,
    /// Namespaces from which Secrets may be read; all if absent.
    #[arg(long, env = "SPANWAY_SECRET_NAMESPACES", value_delimiter = ',')]
    secret_namespaces: Vec<String>,
}

/// Reads `500ms`, `10s`, `5m` or `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` begins with no number"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err(format!("`{text}` has no unit: write 500ms, 10s, 5m or 24h")),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `20000-31999`.
fn range(text: &str) -> anyhow::Result<PortRange> {
    let (first, last) = text.split_once('-').context("--ports is two numbers with a dash")?;
    let ephemeral = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(EPHEMERAL_DEFAULT);
    Ok(PortRange::new(first.parse()?, last.parse()?, ephemeral)?)
}

/// Where Linux begins to give out ports by itself.
const EPHEMERAL_DEFAULT: u16 = 32_768;

impl Arguments {
    fn settings(self) -> anyhow::Result<Settings> {
        let account = |name: &str| Name::new(&self.namespace, name);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Settings {
            role: self.role,
            source: self.dir.map_or(SourceSettings::Kubernetes, SourceSettings::Directory),
            trust_domain: self
                .trust_domain
                .parse::<TrustDomain>()
                .with_context(|| format!("--trust-domain {}", self.trust_domain))?,
            pod: Pod {
                name: Name::new(&self.namespace, &self.pod_name),
                uid: self.pod_uid.into(),
                addresses: self.pod_ips,
                gateway_account: account(&self.gateway_account),
                controller_account: account(&self.controller_account),
            },
            cluster: self.cluster.into(),
            namespace: self.namespace.as_str().into(),
            listen: self.listen,
            link_port: self.link_port,
            admin: self.admin,
            health: self.health,
            control: Control {
                listen: self.control_listen,
                addresses: self.control_addresses,
                advertise: self.control_advertise.into(),
                token: self.token,
            },
            ports: range(&self.ports).with_context(|| format!("--ports {}", self.ports))?,
            port_rest: SignedDuration::try_from(self.port_rest).context("--port-rest")?,
            workers: self.workers.unwrap_or(cores),
            ready: self.ready_calls,
            first_slices: FIRST_SLICES_WAIT,
            drain: DrainSettings {
                leave: self.leave,
                settle: self.settle,
                drain: self.drain,
                ..DrainSettings::default()
            },
            certificate_life: self.certificate_life,
            access_log: self.access_log,
            external_traffic_policy: self.external_traffic_policy.into(),
            gateway_labels: self.gateway_labels,
            secret_namespaces: self.secret_namespaces,
        })
    }
}

/// Runs until SIGTERM or SIGINT, then leaves in order; a second signal ends it at once.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    super::start_logging("info", true);
    let settings = arguments.settings()?;
    control_runtime()?.block_on(async move {
        let mut ends = Ends::watch()?;
        // Fixed ports that are taken end the process before anything else begins.
        let admin = admin::bind(&settings).await?;
        let app = tokio::select! {
            app = App::start(settings) => app?,
            () = ends.come() => return Ok(exit::OK),
        };
        let served = admin.serve(app.views().clone());
        ends.come().await;
        tracing::info!("leaving");
        tokio::select! {
            left = app.leave() => tracing::info!(broken_off = left, "left"),
            () = ends.come() => tracing::warn!("ended at once"),
        }
        drop(served);
        Ok(exit::OK)
    })
}

/// Where everything runs but requests.
fn control_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(WAITING_THREADS)
        .thread_name("control")
        .on_thread_start(give_way)
        .on_thread_park(crate::memory::give_back_at_rest)
        .enable_all()
        .build()
}

/// Lets requests go first on a core that this thread shares with a worker. That costs a change a
/// moment and never all of them: of a core that is full a tenth is left.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        // To Linux the nice value of the calling process is that of its thread.
        let now = rustix::process::getpriority_process(None).unwrap_or_default();
        if let Err(error) = rustix::process::setpriority_process(None, now + CONTROL_NICE) {
            tracing::debug!(%error, "a thread keeps its priority");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn requests_go_before_everything_else() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let runtime = control_runtime().unwrap();
        let task = runtime.spawn(async move { nice() });
        let blocking = runtime.spawn_blocking(nice);
        let (task, blocking) = runtime.block_on(async { tokio::join!(task, blocking) });
        assert_eq!(task.unwrap(), nice() + CONTROL_NICE);
        assert_eq!(blocking.unwrap(), nice() + CONTROL_NICE);
    }

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "10", "s", "10 s", "1d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
