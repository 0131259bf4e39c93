//! The leader's loop: sees, decides, acts, and sees again.

pub mod gateways;
pub mod round;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use config::source::Watched;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::apply::{Outcome, Store, apply, patch};
use crate::catalog::client::LinkStates;
use crate::plan::Known;
use crate::report::{GatewayReport, LeaderWord};
use crate::slices::{Reports, WereReady};

use self::round::{Gateways, Round, Seen, Settings, World, round};

/// Changes come in bursts: one round for each.
const DEBOUNCE: Duration = Duration::from_millis(5);
/// How long nothing may happen before a round is made all the same: all that a round follows from
/// leads to one by itself, and this is for what nobody thought of.
const PERIOD: Duration = Duration::from_mins(5);
/// The wait after the first round that was not complete; it doubles.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait after a round that was not complete.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A report that is older counts as missing: a gateway reports every few seconds.
pub const REPORT_AGE_MAX: Duration = Duration::from_mins(1);
/// How often it is looked whether a report is too old.
const REPORT_AGE_CHECK: Duration = Duration::from_secs(10);

/// A report and when it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The report.
    pub report: Arc<GatewayReport>,
    /// When it came.
    pub at: Instant,
}

impl Received {
    /// Whether this report, and that it came, changes nothing for a round.
    pub fn says_as_much(&self, later: &Self) -> bool {
        self.counts(later.at) && self.report.decides_alike(&later.report)
    }

    /// Whether it is young enough at `now`.
    fn counts(&self, now: Instant) -> bool {
        now.duration_since(self.at) <= REPORT_AGE_MAX
    }
}

/// The newest report of each gateway, by instance.
pub type ReceivedReports = BTreeMap<Arc<str>, Received>;

/// What the leader tells the gateways, by instance. Empty where it does not lead.
pub type Words = BTreeMap<Arc<str>, LeaderWord>;

/// What the loop follows.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The source.
    pub watched: Watched,
    /// The catalogs of the links.
    pub states: watch::Receiver<LinkStates>,
    /// The reports of the gateways.
    pub reports: watch::Receiver<Arc<ReceivedReports>>,
    /// Whether we lead.
    pub leading: watch::Receiver<bool>,
}

/// What the loop works with.
#[derive(Debug)]
pub struct Controller<S, G> {
    /// What is set.
    pub settings: Settings,
    /// Where objects are written.
    pub store: S,
    /// The work for Gateways.
    pub gateways: G,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// Works for as long as the inputs are sent, or until `shutdown`: while we lead, every change
/// leads to a round.
pub async fn run<S: Store, G: Gateways>(
    mut controller: Controller<S, G>,
    mut inputs: Inputs,
    words: watch::Sender<Arc<Words>>,
    shutdown: impl Future<Output = ()>,
) {
    tokio::select! {
        () = follow(&mut controller, &mut inputs, &words) => {}
        () = shutdown => {}
    }
    words.send_replace(Arc::default());
}

async fn follow<S: Store, G: Gateways>(
    controller: &mut Controller<S, G>,
    inputs: &mut Inputs,
    words: &watch::Sender<Arc<Words>>,
) {
    let (mut were_ready, mut known) = (WereReady::default(), Known::default());
    let mut retry = None;
    loop {
        let (mut wait, mut pause) = (PERIOD, DEBOUNCE);
        if inputs.leads() {
            let begun = Instant::now();
            let (decided, seen_ready) = inputs.round(controller, (&were_ready, &known));
            were_ready = seen_ready;
            pause = pause.max(begun.elapsed());
            publish(words, &decided);
            let outcome = act(&controller.store, &decided).await;
            known = decided.known;
            retry = next_retry(&outcome, retry);
            let until = |next: Timestamp| next.duration_since((controller.clock)());
            let next = decided.next.and_then(|next| Duration::try_from(until(next)).ok());
            wait = [retry, next].into_iter().flatten().fold(PERIOD, Duration::min).max(DEBOUNCE);
        } else {
            // Who leads next knows nothing of us: neither do we, if we lead again.
            (were_ready, known, retry) = (WereReady::default(), Known::default(), None);
            words.send_if_modified(|words| {
                let had = !words.is_empty();
                *words = Arc::default();
                had
            });
        }
        if inputs.changed(wait).await.is_err() {
            return;
        }
        // In a large cluster slices change all the time: at most half of the time goes into rounds.
        tokio::time::sleep(pause).await;
    }
}

fn publish(words: &watch::Sender<Arc<Words>>, decided: &Round) {
    words.send_if_modified(|current| {
        let differs = **current != decided.words;
        if differs {
            *current = Arc::new(decided.words.clone());
        }
        differs
    });
}

/// The wait before a round that nothing else leads to.
fn next_retry(outcome: &Outcome, before: Option<Duration>) -> Option<Duration> {
    let again = || before.map_or(RETRY_MIN, |before| before.saturating_mul(2).min(RETRY_MAX));
    (!outcome.is_complete()).then(again)
}

async fn act<S: Store>(store: &S, decided: &Round) -> Outcome {
    let changed = apply(store, &decided.changes).await;
    let outcome = changed.and(patch(store, &decided.statuses).await);
    if outcome.failed > 0 {
        tracing::warn!(%outcome, "some changes were not carried out");
    } else if outcome.done > 0 {
        tracing::debug!(%outcome, "changes carried out");
    }
    outcome
}

impl Inputs {
    /// Whether there is a round to be made: we lead, and everything was listed, statuses too.
    fn leads(&self) -> bool {
        *self.leading.borrow() && self.watched.state.borrow().statuses
    }

    fn round<S, G: Gateways>(
        &mut self,
        controller: &mut Controller<S, G>,
        (were_ready, known): (&WereReady, &Known),
    ) -> (Round, WereReady) {
        let resources = Arc::clone(&self.watched.resources.borrow_and_update());
        let slices = Arc::clone(&self.watched.slices.borrow_and_update());
        let states = self.states.borrow_and_update().clone();
        let received = Arc::clone(&self.reports.borrow_and_update());
        let now = Instant::now();
        let reports: Reports = received
            .iter()
            .filter(|(_, received)| received.counts(now))
            .map(|(instance, received)| (Arc::clone(instance), Arc::clone(&received.report)))
            .collect();
        let were_ready = match controller.settings.world {
            World::Kubernetes => were_ready.note(&resources.pods.valid),
            World::Directory => WereReady::default(),
        };
        let seen = Seen {
            settings: &controller.settings,
            resources: &resources,
            slices: &slices,
            states: &states,
            reports: &reports,
            known,
            now: (controller.clock)(),
        };
        (round(&seen, &were_ready, &mut controller.gateways), were_ready)
    }

    /// The reports that count at `now`.
    fn counting(&self, now: Instant) -> usize {
        self.reports.borrow().values().filter(|received| received.counts(now)).count()
    }

    /// Waits for a change, at most for so long. An error: nobody sends any more.
    async fn changed(&mut self, wait: Duration) -> Result<(), watch::error::RecvError> {
        let (end, counting) = (Instant::now() + wait, self.counting(Instant::now()));
        loop {
            let check = end.min(Instant::now() + REPORT_AGE_CHECK);
            if let Some(changed) = self.changed_until(check).await {
                return changed;
            }
            if check == end || self.counting(Instant::now()) != counting {
                return Ok(());
            }
        }
    }

    /// The same, without a look at the reports that stay out; nothing if nothing changed.
    async fn changed_until(&mut self, end: Instant) -> Option<Result<(), watch::error::RecvError>> {
        let changed = tokio::select! {
            changed = self.watched.resources.changed() => changed,
            changed = self.watched.slices.changed() => changed,
            changed = self.watched.state.wait_for(|state| state.statuses), if !self.watched.state.borrow().statuses => {
                changed.map(drop)
            }
            changed = self.states.changed() => changed,
            changed = self.reports.changed() => changed,
            changed = self.leading.changed() => changed,
            () = tokio::time::sleep_until(end) => return None,
        };
        Some(changed)
    }
}

#[cfg(test)]
mod tests;
