//! What is remembered of endpoints from request to request: load, and failures to connect.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use config::model::LinkName;
use discovery::endpoint::Reach;

use crate::link::ahead::Ahead;
use crate::lock::lock;
use crate::wire::Wire;

#[cfg(test)]
mod tests;

/// What an endpoint is taken to need until it has answered.
pub const DEFAULT_RTT: Duration = Duration::from_millis(30);
/// How fast an old answer is forgotten.
pub const DECAY: Duration = Duration::from_secs(10);
/// The same in nanoseconds.
const NANOS_OF_DECAY: f64 = 10e9;
/// What no answer is faster than: below it requests under way alone make the difference.
const RTT_LEAST_NANOS: f64 = 100_000.0;
/// How long an endpoint is left alone after its first failure to connect.
pub const OUT_FIRST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
pub const OUT_MAX: Duration = Duration::from_secs(30);
/// Failures remembered at once; beyond that the oldest go first, and are simply tried again.
pub const OUT_ENTRIES_MAX: usize = 4096;
/// Endpoints whose load a worker remembers before it forgets those that nobody uses.
pub const LOADS_MAX: usize = 16 * 1024;

/// What all workers know together. Seldom written.
#[derive(Debug, Default)]
pub struct Shared {
    /// Endpoints that failed to take a connection.
    pub endpoints: Failures<Reach>,
    /// Remote gateways that did.
    pub gateways: Failures<SocketAddr>,
    /// Links none of whose gateways took a call.
    pub links: Failures<LinkName>,
    /// Calls over links that are opened ahead.
    pub ahead: Ahead<Wire>,
    turn: AtomicUsize,
}

impl Shared {
    /// For an endpoint at most `ready` calls are opened ahead, counted in `waiting`.
    pub fn new(ready: usize, waiting: Arc<AtomicUsize>) -> Self {
        Self { ahead: Ahead::new(ready, waiting), ..Self::default() }
    }

    /// Whether the endpoint that is reached so is left alone now, or the way to it.
    pub fn is_out(&self, reach: &Reach, now: Instant) -> bool {
        let link = match reach {
            Reach::Direct(_) => false,
            Reach::Via(target) => self.links.is_out(&target.link, now),
        };
        link || self.endpoints.is_out(reach, now)
    }

    /// Whether neither an endpoint nor a link is left alone: the usual case.
    pub fn nobody_is_out(&self) -> bool {
        self.endpoints.is_empty() && self.links.is_empty()
    }

    /// Counts up: whose turn it is.
    pub fn turn(&self) -> usize {
        self.turn.fetch_add(1, Relaxed)
    }
}

/// Whom to leave alone for a while. Whoever reads waits for nobody.
#[derive(Debug)]
pub struct Failures<K> {
    /// Whether there is anybody at all: the answer nearly always, without another look.
    count: AtomicUsize,
    seen: ArcSwap<imbl::HashMap<K, Out>>,
    /// The same, for whoever changes it.
    out: Mutex<imbl::HashMap<K, Out>>,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    until: Instant,
    failures: u32,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), seen: ArcSwap::default(), out: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> Failures<K> {
    /// Whether nobody failed lately.
    fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Whether `key` is left alone now.
    pub fn is_out(&self, key: &K, now: Instant) -> bool {
        self.count.load(Relaxed) > 0 && self.seen.load().get(key).is_some_and(|out| now < out.until)
    }

    /// Leaves `key` alone, longer with every failure in a row; `chance` spreads the returns.
    pub fn failed(&self, key: &K, now: Instant, chance: u32) {
        let mut out = lock(&self.out);
        if out.len() >= OUT_ENTRIES_MAX && !out.contains_key(key) {
            make_room(&mut out, now);
        }
        let entry = out.entry(key.clone()).or_insert(Out { until: now, failures: 0 });
        // Those who fail at once count once: only a failure after a return is another.
        if entry.failures == 0 || now >= entry.until {
            entry.until = now + backoff(entry.failures, chance);
            entry.failures = entry.failures.saturating_add(1);
        }
        self.show(&out);
    }

    /// Forgets that `key` ever failed.
    pub fn succeeded(&self, key: &K) {
        if self.count.load(Relaxed) > 0 {
            let mut out = lock(&self.out);
            if out.remove(key).is_some() {
                self.show(&out);
            }
        }
    }

    /// Lets readers see what has changed: both maps have nearly everything in common.
    fn show(&self, out: &imbl::HashMap<K, Out>) {
        self.seen.store(Arc::new(out.clone()));
        self.count.store(out.len(), Relaxed);
    }
}

fn make_room<K: Clone + Eq + Hash>(out: &mut imbl::HashMap<K, Out>, now: Instant) {
    out.retain(|_, entry| now < entry.until);
    if out.len() >= OUT_ENTRIES_MAX {
        let oldest = out.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone());
        oldest.and_then(|key| out.remove(&key));
    }
}

/// Doubles with every failure, less a random part of up to a half.
fn backoff(failures: u32, chance: u32) -> Duration {
    let whole = OUT_FIRST.saturating_mul(1 << failures.min(16)).min(OUT_MAX);
    whole.mul_f64(1.0 - f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

/// How one worker finds the load of an endpoint. Survives swaps, as endpoints do.
#[derive(Debug)]
pub struct Loads {
    began: Instant,
    by_reach: Mutex<HashMap<Reach, Arc<Load>, ahash::RandomState>>,
}

/// When something is asked of loads, in nanoseconds since they began: told once for all that a
/// request asks of them.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

impl Default for Loads {
    fn default() -> Self {
        Self { began: Instant::now(), by_reach: Mutex::default() }
    }
}

impl Moment {
    /// So much later.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self(self.0.saturating_add(nanos(passed)))
    }
}

impl Loads {
    /// How loads tell `now`.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment(nanos(now.saturating_duration_since(self.began)))
    }

    /// The load of the endpoint that is reached so.
    pub fn of(&self, reach: &Reach, now: Moment) -> Arc<Load> {
        let known = lock(&self.by_reach).get(reach).map(Arc::clone);
        known.unwrap_or_else(|| self.begin(reach, now))
    }

    /// Whether the second of two endpoints is the less busy one, and the load of whichever is.
    pub fn less_busy(&self, (one, other): (&Reach, &Reach), now: Moment) -> (bool, Arc<Load>) {
        let known = {
            let loads = lock(&self.by_reach);
            loads.get(one).zip(loads.get(other)).map(|(one, other)| less_busy(one, other, now))
        };
        known.unwrap_or_else(|| less_busy(&self.of(one, now), &self.of(other, now), now))
    }

    fn begin(&self, reach: &Reach, now: Moment) -> Arc<Load> {
        let mut loads = lock(&self.by_reach);
        if loads.len() >= LOADS_MAX {
            loads.retain(|_, load| Arc::strong_count(load) > 1);
        }
        Arc::clone(loads.entry(reach.clone()).or_insert_with(|| Arc::new(Load::new(now))))
    }
}

fn less_busy(one: &Arc<Load>, other: &Arc<Load>, now: Moment) -> (bool, Arc<Load>) {
    let second = other.cost(now) < one.cost(now);
    (second, Arc::clone(if second { other } else { one }))
}

/// How busy an endpoint is, as one worker sees it.
#[derive(Debug)]
pub struct Load {
    in_flight: AtomicU32,
    /// Nanoseconds, as they were at `seen`.
    rtt: AtomicU64,
    /// A [`Moment`].
    seen: AtomicU64,
}

impl Load {
    fn new(now: Moment) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            rtt: AtomicU64::new(nanos(DEFAULT_RTT)),
            seen: AtomicU64::new(now.0),
        }
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// What a request more would cost: the peak-sensitive average of its answer times, times
    /// the requests that would be under way.
    pub fn cost(&self, now: Moment) -> f64 {
        self.rtt_at(self.weight(now)) * (f64::from(self.in_flight()) + 1.0)
    }

    /// Takes note of an answer. A slow one counts at once, a fast one little by little.
    pub fn answered(&self, took: Duration, now: Moment) {
        let took = took.as_secs_f64() * 1e9;
        let weight = self.weight(now);
        let old = self.rtt_at(weight);
        let next = if took > old { took } else { self.raw() * weight + took * (1.0 - weight) };
        self.rtt.store(whole(next), Relaxed);
        self.seen.store(now.0, Relaxed);
    }

    /// An endpoint that nobody asked for long is worth asking again.
    fn rtt_at(&self, weight: f64) -> f64 {
        (self.raw() * weight).max(RTT_LEAST_NANOS)
    }

    #[expect(clippy::cast_precision_loss, reason = "a load is an estimate")]
    fn raw(&self) -> f64 {
        self.rtt.load(Relaxed) as f64
    }

    /// What is left by now of what was seen last.
    #[expect(clippy::cast_precision_loss, reason = "a load is an estimate")]
    fn weight(&self, now: Moment) -> f64 {
        let passed = now.0.saturating_sub(self.seen.load(Relaxed)) as f64;
        let part = passed / NANOS_OF_DECAY;
        // As good as the exponential so near to nothing, and much quicker.
        if part < 0.001 { 1.0 - part } else { (-part).exp() }
    }
}

/// One request under way; its drop ends it, whatever happened.
#[derive(Debug)]
pub struct InFlight(Arc<Load>);

impl InFlight {
    /// Counts one more.
    pub fn begin(load: Arc<Load>) -> Self {
        load.in_flight.fetch_add(1, Relaxed);
        Self(load)
    }

    /// Where answers are noted.
    pub fn load(&self) -> &Load {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, which is what a load needs"
)]
const fn whole(value: f64) -> u64 {
    value as u64
}
