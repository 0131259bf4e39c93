//! The part that carries traffic: listeners, readiness, the report of this gateway.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::model::LinkName;
use config::source::SourceState;
use config::table::PortOwner;
use discovery::endpoint::build::LinkInput;
use discovery::report::{GatewayReport, LeaderWord, LinkReport};
use tokio::sync::watch;
use tokio::time::Instant;

use super::model::Derived;
use super::serve::{Exported, Services};
use crate::connection::Connections;
use crate::drain::{Draining, Phase};
use crate::listener::{BindReport, Listeners};
use crate::lock::lock;
use crate::settings::Settings;
use crate::snapshot::Published;
use crate::telemetry::Metrics;
use crate::tls::verifier::{Refusals, Refused};

/// A port that could not be bound is tried again after this, and the age of links is told anew.
const EVERY: Duration = Duration::from_secs(2);

/// How long ports that no leader has allotted are waited for: longer than the Lease of a leader
/// that is gone lasts, and where no port is left a gateway must not wait for ever.
const PORTS_WAIT: Duration = Duration::from_secs(20);

/// Why a gateway is not ready, or that it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own")]
pub struct Readiness {
    /// Everything was listed once.
    pub source_listed: bool,
    /// A certificate is held.
    pub certificate_held: bool,
    /// Every port that the sources name was bound, failed to be, or was waited for long enough.
    pub listeners_bound: bool,
    /// The catalog of each link was received, or waited for long enough.
    pub catalogs_received: bool,
    /// The leader has confirmed that every slice names this gateway, or was waited for.
    pub in_slices: bool,
    /// The gateway leaves.
    pub leaving: bool,
}

impl Readiness {
    /// All but the leader's word: what the leader is told.
    pub const fn serves(&self) -> bool {
        self.source_listed
            && self.certificate_held
            && self.listeners_bound
            && self.catalogs_received
    }

    /// What `/ready` says.
    pub const fn is_ready(&self) -> bool {
        self.serves() && self.in_slices && !self.leaving
    }
}

/// The link of peers that are of none, which no object can be called.
const STRANGERS: &str = "";
/// The same, as a label of metrics.
const UNKNOWN: &str = "unknown";

/// What was refused on links, by link and reason.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedPeers(Arc<Mutex<BTreeMap<(LinkName, &'static str), u64>>>);

impl RefusedPeers {
    /// A sink that counts, in `metrics` too.
    pub(super) fn sink(&self, metrics: Arc<Metrics>) -> Refusals {
        let counts = self.clone();
        Refusals::to(move |refused: Refused| {
            metrics
                .refused_peer(refused.link.as_deref().unwrap_or(UNKNOWN), refused.reason.label());
            let link = refused.link.unwrap_or_else(|| STRANGERS.into());
            let mut counts = lock(&counts.0);
            *counts.entry((link, refused.reason.reason())).or_default() += 1;
        })
    }

    fn of(&self, link: &str) -> Vec<(Arc<str>, u64)> {
        let counts = lock(&self.0);
        let of_link = counts.iter().filter(|((name, _), _)| &**name == link);
        of_link.map(|((_, reason), count)| (Arc::from(*reason), *count)).collect()
    }
}

/// Whether all that the sources name at the start is bound. It holds once for all: a Gateway that
/// comes later makes no gateway unready.
#[derive(Debug, Default)]
struct FirstPorts {
    /// Since when they are known.
    since: Option<Instant>,
    bound: bool,
}

impl FirstPorts {
    fn are_bound(&mut self, derived: &Derived, report: &BindReport, now: Instant) -> bool {
        // Nothing was compiled yet: nobody knows what the sources name.
        if derived.compiled.table.version == 0 || report.is_empty() {
            return false;
        }
        let waited = now.duration_since(*self.since.get_or_insert(now)) >= PORTS_WAIT;
        self.bound = self.bound || waited || {
            let failed = report.failed.keys().map(|(_, owner)| owner);
            let bound = report.bound.iter().map(|(_, owner)| owner);
            let known: HashSet<&PortOwner> = bound.chain(failed).collect();
            derived.owners().all(|owner| known.contains(&owner))
        };
        self.bound
    }
}

/// What the gateway part follows.
pub(super) struct Inputs {
    /// Ticks with every snapshot.
    pub(super) published_tick: watch::Receiver<u64>,
    /// What follows from the objects.
    pub(super) derived: watch::Receiver<Arc<Derived>>,
    /// How the source is.
    pub(super) source: watch::Receiver<SourceState>,
    /// What the leader says of us.
    pub(super) word: watch::Receiver<LeaderWord>,
}

/// What it tells.
pub(super) struct Outputs {
    /// To the leader.
    pub(super) report: watch::Sender<GatewayReport>,
    /// To whoever asks.
    pub(super) readiness: watch::Sender<Readiness>,
}

/// The gateway part.
pub(super) struct Gateway {
    pub(super) settings: Arc<Settings>,
    pub(super) published: Arc<Published>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) listeners: Listeners<Connections<Services, Exported>>,
    pub(super) draining: Draining,
    pub(super) refused: RefusedPeers,
}

impl Gateway {
    /// Keeps listeners and reports current until the drain is over.
    pub(super) async fn run(mut self, mut inputs: Inputs, outputs: Outputs) {
        let mut started = Instant::now();
        let (mut served_since, mut first_ports) = (None, FirstPorts::default());
        let draining = self.draining.clone();
        let mut stopped = false;
        while self.draining.phase() < Phase::Ended {
            if self.draining.phase() >= Phase::Draining && !stopped {
                self.listeners.stop();
                stopped = true;
            }
            if self.published.load().credentials.svid().is_none() {
                // No link can be dialled yet: the wait for catalogs begins with the certificate.
                started = Instant::now();
            }
            let bound = if stopped { BindReport::default() } else { self.bind(&inputs) };
            let mut readiness = self.readiness(&inputs, started);
            readiness.listeners_bound =
                first_ports.are_bound(&inputs.derived.borrow(), &bound, Instant::now());
            if readiness.serves() {
                let since = *served_since.get_or_insert_with(|| {
                    self.warn_of_missing(&inputs.derived.borrow());
                    Instant::now()
                });
                let word = inputs.word.borrow().in_slices;
                readiness.in_slices = word || since.elapsed() >= self.settings.drain.slices;
            }
            self.tell(&inputs, &bound, &readiness, &outputs);
            let phase = draining.phase();
            tokio::select! {
                changed = inputs.published_tick.changed() => if changed.is_err() { return },
                changed = inputs.derived.changed() => if changed.is_err() { return },
                changed = inputs.source.changed() => if changed.is_err() { return },
                changed = inputs.word.changed() => if changed.is_err() { return },
                () = draining.reached(next(phase)) => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn bind(&mut self, inputs: &Inputs) -> BindReport {
        // Before everything was listed an empty table says nothing.
        if !inputs.source.borrow().synced {
            return BindReport::default();
        }
        let snapshot = self.published.load_full();
        self.listeners.sync(&snapshot.table).clone()
    }

    fn readiness(&self, inputs: &Inputs, started: Instant) -> Readiness {
        let derived = inputs.derived.borrow().clone();
        let waited = started.elapsed() >= self.settings.drain.catalogs;
        Readiness {
            source_listed: inputs.source.borrow().synced,
            certificate_held: self.published.load().credentials.svid().is_some(),
            listeners_bound: false,
            catalogs_received: waited || missing(&derived).next().is_none(),
            in_slices: false,
            leaving: self.draining.phase() >= Phase::Leaving,
        }
    }

    fn warn_of_missing(&self, derived: &Derived) {
        for link in missing(derived) {
            let after = self.settings.drain.catalogs;
            tracing::warn!(%link, ?after, "serving without a catalog of the link: it did not come");
        }
    }

    fn tell(&self, inputs: &Inputs, ports: &BindReport, ready: &Readiness, outputs: &Outputs) {
        let derived = inputs.derived.borrow().clone();
        let failures = ports.failed.iter();
        let report = GatewayReport {
            instance: Arc::clone(&self.settings.pod.uid),
            pod: self.settings.pod.name.clone(),
            addresses: self.settings.pod.addresses.clone(),
            serving: ready.serves() && !ready.leaving,
            draining: ready.leaving,
            table_version: self.published.load().table.version,
            bound: ports.bound.clone(),
            bind_failures: failures
                .map(|((port, owner), why)| (*port, owner.clone(), why.to_string()))
                .collect(),
            strangers: self.refused.of(STRANGERS),
            links: derived.known.values().map(|link| self.link(link)).collect(),
        };
        outputs.report.send_if_modified(|known| {
            let changed = *known != report;
            *known = report;
            changed
        });
        outputs.readiness.send_if_modified(|known| {
            let changed = known != ready;
            known.clone_from(ready);
            changed
        });
    }

    fn link(&self, link: &LinkInput) -> LinkReport {
        let LinkInput { link, state } = link;
        let age = discovery::freshness::age(state.heard, Instant::now()).unwrap_or_default();
        self.metrics.link(&link.name, state.connected, age);
        LinkReport {
            link: Arc::clone(&link.name),
            connected: state.connected,
            problem: state.problem.clone(),
            age_seconds: age.as_secs(),
            refused: self.refused.of(&link.name),
            services: state.catalog.services.len() as u64,
        }
    }
}

/// The links of which no catalog was received yet.
fn missing(derived: &Derived) -> impl Iterator<Item = &LinkName> {
    let received =
        |name: &LinkName| derived.known.get(name).is_some_and(|known| known.state.received);
    derived.links.iter().map(|link| &link.name).filter(move |name| !received(name))
}

const fn next(phase: Phase) -> Phase {
    match phase {
        Phase::Serving => Phase::Leaving,
        Phase::Leaving => Phase::Draining,
        Phase::Draining | Phase::Ended => Phase::Ended,
    }
}

#[cfg(test)]
mod tests {
    use config::compile::Compiled;
    use config::model::Name;

    use super::*;
    use crate::listener::Bound;

    fn owner(port: u16) -> PortOwner {
        PortOwner { uid: "edge".into(), port }
    }

    /// What is derived from objects that name these ports.
    fn derived(ports: &[u16]) -> Derived {
        let mut compiled = Compiled::default();
        compiled.table.version = 1;
        let wanted = ports.iter().map(|port| (owner(*port), Name::new("shop", "edge")));
        compiled.wanted_ports = wanted.collect();
        Derived { compiled: compiled.into(), ..Derived::default() }
    }

    /// The report of the links' port, and of these.
    fn report(ports: &[u16]) -> BindReport {
        let bound = ports.iter().map(|port| (20_000 + *port, owner(*port))).collect();
        BindReport { bound, link: Some(Bound::Yes), ..BindReport::default() }
    }

    #[test]
    fn all_that_the_sources_name_is_bound_before_a_gateway_is_ready() {
        let (mut first, now) = (FirstPorts::default(), Instant::now());
        assert!(!first.are_bound(&Derived::default(), &report(&[]), now), "nothing is known yet");
        assert!(!first.are_bound(&derived(&[80, 443]), &report(&[]), now));
        assert!(!first.are_bound(&derived(&[80, 443]), &report(&[80]), now));
        assert!(first.are_bound(&derived(&[80, 443]), &report(&[80, 443]), now));
        assert!(first.are_bound(&derived(&[80, 443, 81]), &report(&[80, 443]), now), "a later one");
    }

    #[test]
    fn a_port_that_nobody_allots_is_waited_for_a_named_time() {
        let (mut first, now) = (FirstPorts::default(), Instant::now());
        assert!(!first.are_bound(&derived(&[80]), &report(&[]), now));
        assert!(first.are_bound(&derived(&[80]), &report(&[]), now + PORTS_WAIT));
    }
}
