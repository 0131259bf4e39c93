//! The wiring: the one place that names every part.
//!
//! ```text
//! source ─► model ─► Published ◄── every connection and request
//!   ▲         ▲ │
//!   │   links ┘ └─► offers ─► catalog server
//! writer ◄── controller ◄── desk ◄── reports of gateways
//! ```

mod control;
mod desk;
mod gateway;
mod links;
mod model;
mod model_task;
mod reporter;
mod retired;
mod serve;
mod source;
mod trust;
mod withdrawn;

use std::sync::Arc;
use std::time::Duration;

use config::source::{SourceState, Watched};
use discovery::catalog::Offers;
use discovery::catalog::server::Server;
use discovery::report::{BoundPorts, GatewayReport, LeaderWord};
use discovery::resolve::SystemResolver;
use imbl::OrdSet;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::gateway::Readiness;
pub use self::model::{Derived, Identity, Model};
use self::serve::{Exported, Services};
pub use self::withdrawn::Withdrawals;
use crate::connection::Connections;
use crate::drain::{Drain, Draining, Limits, Phase};
use crate::http::h1::Waits;
use crate::http::proxy::Proxy;
use crate::identity::rotate;
use crate::link::far::Far;
use crate::listener::{self, Listeners};
use crate::settings::{Role, Settings};
use crate::snapshot::Published;
use crate::telemetry::{AccessLog, Metrics};
use crate::tls::svid::Svid;
use crate::worker::Workers;

/// How long an endpoint may pause within a body, and a stream say nothing.
const ENDPOINT_PAUSE: Duration = Duration::from_mins(5);

/// What can be seen of a running process.
#[derive(Clone)]
pub struct Views {
    /// What it was told.
    pub settings: Arc<Settings>,
    /// What requests read.
    pub published: Arc<Published>,
    /// What follows from the objects.
    pub derived: watch::Receiver<Arc<Derived>>,
    /// Whether the gateway is ready, and why not.
    pub readiness: watch::Receiver<Readiness>,
    /// How the source is.
    pub source: watch::Receiver<SourceState>,
    /// How our own certificate stands.
    pub certificate: watch::Receiver<rotate::Status>,
    /// Whether this process leads the controllers.
    pub leading: watch::Receiver<bool>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where requests are logged.
    pub log: AccessLog,
}

/// A running process.
pub struct App {
    views: Views,
    drain: Arc<Drain>,
    word: watch::Receiver<LeaderWord>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    election: Option<control::Election>,
    /// The workers' threads end with it.
    workers: Option<Arc<Workers>>,
}

/// Channels by which the parts speak, made before any part.
struct Wires {
    svid: watch::Sender<Option<Arc<Svid>>>,
    certificate: watch::Sender<rotate::Status>,
    word: watch::Sender<LeaderWord>,
    report: watch::Sender<GatewayReport>,
    readiness: watch::Sender<Readiness>,
    derived: watch::Sender<Arc<Derived>>,
    draining: watch::Sender<OrdSet<Arc<str>>>,
    leading: watch::Sender<bool>,
    /// Where the leader listens.
    leader: watch::Sender<Option<Arc<str>>>,
    tick: watch::Sender<u64>,
}

impl Wires {
    fn new(settings: &Settings) -> Self {
        let report = GatewayReport {
            instance: Arc::clone(&settings.pod.uid),
            pod: settings.pod.name.clone(),
            addresses: settings.pod.addresses.clone(),
            serving: false,
            draining: false,
            table_version: 0,
            bound: BoundPorts::default(),
            bind_failures: Vec::new(),
            strangers: Vec::new(),
            links: Vec::new(),
        };
        Self {
            svid: watch::Sender::new(None),
            certificate: watch::Sender::default(),
            word: watch::Sender::default(),
            report: watch::Sender::new(report),
            readiness: watch::Sender::default(),
            derived: watch::Sender::default(),
            draining: watch::Sender::default(),
            leading: watch::Sender::new(false),
            leader: watch::Sender::default(),
            tick: watch::Sender::new(0),
        }
    }
}

impl App {
    /// Starts all parts that the role asks for.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let settings = Arc::new(settings);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let wires = Wires::new(&settings);
        let metrics = Arc::new(Metrics::new()?);
        let log = if settings.access_log {
            AccessLog::start(settings.workers, std::io::stdout())?
        } else {
            AccessLog::off()
        };
        let published = Arc::new(Published::default());
        let drain = Arc::new(Drain::default());
        let source = source::open(&settings, &mut tasks, &stop).await?;
        let election = control::start(&settings, &source, (&wires, &metrics), &mut tasks).await?;
        let shared = Shared {
            settings: Arc::clone(&settings),
            published: Arc::clone(&published),
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            drain: Arc::clone(&drain),
            refused: gateway::RefusedPeers::default(),
        };
        let offered = start_model(&shared, &source, &wires, &mut tasks)?;
        let workers = if settings.role.carries() {
            Some(start_gateway(shared, &source.watched, offered, &wires, &mut tasks)?)
        } else {
            None
        };
        let views = Views {
            published,
            derived: wires.derived.subscribe(),
            readiness: wires.readiness.subscribe(),
            source: source.watched.state.clone(),
            certificate: wires.certificate.subscribe(),
            leading: wires.leading.subscribe(),
            metrics,
            log,
            settings,
        };
        let word = wires.word.subscribe();
        Ok(Self { views, drain, word, tasks, stop, election, workers })
    }

    /// What can be seen of it.
    pub const fn views(&self) -> &Views {
        &self.views
    }

    /// Leaves without a call that breaks, then ends. Returns how many connections it broke off.
    pub async fn leave(self) -> usize {
        let settle = self.views.settings.drain.settle;
        self.leave_once(async move { tokio::time::sleep(settle).await }).await
    }

    /// The same; nodes have followed when `settled` ends, and it accepts until then.
    pub async fn leave_once(mut self, settled: impl Future<Output = ()>) -> usize {
        let drain = self.views.settings.drain;
        let limits = Limits { leaving: drain.leave, draining: drain.drain };
        let mut word = self.word.clone();
        let carries = self.views.settings.role.carries();
        let removed = async {
            if word.wait_for(|word| word.removed).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let left = if carries { self.drain.run(limits, removed, settled).await } else { 0 };
        self.end().await;
        left
    }

    /// Ends at once.
    pub async fn end(&mut self) {
        self.stop.cancel();
        self.tasks.shutdown().await;
        if let Some(election) = self.election.take() {
            election.hand_back().await;
        }
        if let Some(workers) = self.workers.take() {
            // The threads are joined, which must not hold up this one.
            let ended = tokio::task::spawn_blocking(move || drop(workers)).await;
            if let Err(error) = ended {
                tracing::error!(%error, "a worker did not end in order");
            }
        }
        let log = self.views.log.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
            tracing::error!(%error, "the access log was not closed");
        }
    }
}

/// What the model and the gateway have in common.
struct Shared {
    settings: Arc<Settings>,
    published: Arc<Published>,
    metrics: Arc<Metrics>,
    log: AccessLog,
    drain: Arc<Drain>,
    refused: gateway::RefusedPeers,
}

/// Starts the model; what it offers to linked clusters comes out.
fn start_model(
    shared: &Shared,
    source: &source::Open,
    wires: &Wires,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<watch::Receiver<Offers>> {
    let Shared { settings, published, metrics, refused, .. } = shared;
    let model = Model::new(
        source.compiler.clone(),
        Identity {
            cluster: Arc::clone(&settings.cluster),
            trust_domain: settings.trust_domain.clone(),
        },
        (Arc::clone(published), Arc::clone(metrics), refused.sink(Arc::clone(metrics))),
        (Withdrawals::new(settings.drain.settle), settings.first_slices),
    );
    let followers = links::Followers::new(
        links::CatalogDialer { published: Arc::clone(published), tick: wires.tick.subscribe() },
        SystemResolver::new()?,
        (Arc::clone(&settings.cluster), Arc::clone(&settings.pod.uid)),
    );
    let (offers, offered) = watch::channel(Offers::default());
    let inputs = model_task::Inputs {
        watched: source.watched.clone(),
        svid: wires.svid.subscribe(),
        draining: wires.draining.subscribe(),
    };
    let outputs = model_task::Outputs {
        tick: wires.tick.clone(),
        derived: wires.derived.clone(),
        offers,
        states: source.states.clone(),
        wanted: source.wanted.clone(),
    };
    tasks.spawn(model_task::run(model, followers, inputs, outputs));
    Ok(offered)
}

/// Tells linked clusters that this gateway drains; where controllers run too, they tell it of all.
async fn tell_own_drain(drain: Draining, instance: Arc<str>, out: watch::Sender<OrdSet<Arc<str>>>) {
    drain.reached(Phase::Leaving).await;
    out.send_modify(|draining| {
        draining.insert(instance);
    });
    // Who follows it ends with its sender.
    out.closed().await;
}

/// Starts what carries traffic.
fn start_gateway(
    shared: Shared,
    watched: &Watched,
    offered: watch::Receiver<Offers>,
    wires: &Wires,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Arc<Workers>> {
    let Shared { settings, published, metrics, log, drain, refused } = shared;
    let instance = Arc::clone(&settings.pod.uid);
    let catalog =
        Server::new(offered, Arc::new(ages(watched.state.clone())), Arc::clone(&instance));
    let workers =
        Arc::new(Workers::start((settings.workers, settings.ready), &published, &metrics)?);
    let proxy = Arc::new(Proxy {
        published: Arc::clone(&published),
        metrics: Arc::clone(&metrics),
        log,
        waits: Waits::default(),
        endpoint_waits: Waits { head: ENDPOINT_PAUSE, body: ENDPOINT_PAUSE, ..Waits::default() },
        draining: drain.watch(),
    });
    let exports = Exported(Arc::clone(&published));
    let connections = Connections {
        published: Arc::clone(&published),
        serve: Services { proxy, catalog },
        far: Far { exports, instance, draining: drain.watch() },
        metrics: Arc::clone(&metrics),
    };
    let listening = listener::Settings {
        addresses: settings.listen.clone(),
        link_port: Some(settings.link_port),
        ..listener::Settings::default()
    };
    let listeners = Listeners::new(
        listening,
        Arc::clone(&workers),
        Arc::clone(&published),
        Arc::new(connections),
        drain.watch(),
    );
    let draining = drain.watch();
    if settings.role == Role::Gateway {
        let instance = Arc::clone(&settings.pod.uid);
        tasks.spawn(tell_own_drain(drain.watch(), instance, wires.draining.clone()));
    }
    let gateway = gateway::Gateway { settings, published, metrics, listeners, draining, refused };
    let inputs = gateway::Inputs {
        published_tick: wires.tick.subscribe(),
        derived: wires.derived.subscribe(),
        source: watched.state.clone(),
        word: wires.word.subscribe(),
    };
    let outputs =
        gateway::Outputs { report: wires.report.clone(), readiness: wires.readiness.clone() };
    tasks.spawn(gateway.run(inputs, outputs));
    Ok(workers)
}

/// How old each watch is, for the heartbeats to other clusters.
fn ages(
    state: watch::Receiver<SourceState>,
) -> impl Fn(tokio::time::Instant) -> Vec<(Arc<str>, Duration)> {
    move |now| {
        let state = state.borrow();
        let age = |kind: &config::source::KindState| match (&kind.failing, kind.heard) {
            (Some(_), Some(heard)) => now.duration_since(heard),
            _ => Duration::ZERO,
        };
        state.kinds.iter().map(|(kind, it)| (Arc::from(kind.label()), age(it))).collect()
    }
}
