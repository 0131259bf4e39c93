//! Calls that are opened before a request needs them: handshake, hello and `accepted` lie behind
//! them, so that a request which finds no idle connection does not wait for three round trips.
//!
//! They are for HTTP/1 alone: an HTTP/2 connection that stands has room for the next request.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use config::model::BackendKey;
use discovery::endpoint::Reach;

use super::hello::Hello;
use super::near;
use crate::lock::{lock, try_lock};
use crate::snapshot::Snapshot;
use crate::upstream::Connection;
use crate::upstream::pool::{Origin, Pooled};
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// Calls that are ready for one endpoint, unless it is set otherwise: a burst finds some at once,
/// and an endpoint with few places keeps most of them.
pub const READY_MAX: usize = 4;
/// Calls that are ready in all: each costs descriptors and memory at three places.
pub const READY_OF_PROCESS_MAX: usize = 256;
/// How long a call is ready before it is dropped: servers give a new connection five seconds and
/// more for its first request, so that we leave first.
pub const READY_WAIT: Duration = Duration::from_secs(4);
/// How long after a request needed a connection the endpoint counts as called lately.
pub const LATELY: Duration = Duration::from_secs(10);
/// Endpoints that are remembered at once; others wait until some were not called for a while.
const ENDPOINTS_MAX: usize = 4096;

/// The calls that a process has ready. Only those requests look in here that found no idle
/// connection with any worker, and none of them waits for another.
#[derive(Debug)]
pub struct Ahead<T> {
    /// For one endpoint, at most.
    most: usize,
    endpoints: Mutex<HashMap<Reach, Endpoint<T>>>,
    places: Places,
    /// How many of them wait for a request, as metrics show it.
    waiting: Arc<AtomicUsize>,
}

/// An endpoint that was called lately.
#[derive(Debug)]
struct Endpoint<T> {
    key: BackendKey,
    need: Need,
    /// The worker that was in need last: it opens the next ones.
    by: usize,
    opening: usize,
    /// The oldest first.
    ready: VecDeque<Ready<T>>,
}

/// A call, and what has to be known of it.
#[derive(Debug)]
pub struct Ready<T> {
    /// The call.
    pub connection: T,
    /// Where it leads.
    pub origin: Origin,
    /// The worker that opened it.
    pub by: usize,
    /// Since when it is ready.
    pub since: Instant,
    /// Counts it.
    pub place: Place,
}

/// How much an endpoint was in need of connections.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// When a request found none the last time.
    last: Instant,
    /// How many did, with no long pause between them.
    count: usize,
}

/// What is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToOpen {
    /// To whom.
    pub reach: Reach,
    /// Under which key the endpoint was found.
    pub key: BackendKey,
    /// How many.
    pub count: usize,
}

/// The places of all calls that may be ready.
#[derive(Clone, Debug, Default)]
struct Places(Arc<AtomicUsize>);

/// One of them; its drop gives it back.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicUsize>,
    /// Where the call is counted that waits here.
    waiting: Option<Arc<AtomicUsize>>,
}

impl Need {
    /// After another request that found no connection.
    const fn again(self, now: Instant) -> Self {
        Self { last: now, count: self.count.saturating_add(1) }
    }

    /// How many calls should be ready now, of `most`.
    fn wanted(self, most: usize, now: Instant) -> usize {
        let lately = now.saturating_duration_since(self.last) < LATELY;
        if lately { self.count.min(most) } else { 0 }
    }
}

impl Places {
    fn take(&self) -> Option<Place> {
        let free = |taken| (taken < READY_OF_PROCESS_MAX).then_some(taken + 1);
        self.0.fetch_update(Relaxed, Relaxed, free).ok()?;
        Some(Place { taken: Arc::clone(&self.0), waiting: None })
    }
}

impl Place {
    /// Counts the call as one that waits, until the drop.
    fn count_in(&mut self, waiting: &Arc<AtomicUsize>) {
        waiting.fetch_add(1, Relaxed);
        self.waiting = Some(Arc::clone(waiting));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Relaxed);
        if let Some(waiting) = &self.waiting {
            waiting.fetch_sub(1, Relaxed);
        }
    }
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Self::new(READY_MAX, Arc::default())
    }
}

impl<T> Ahead<T> {
    /// None ready yet, and never more than `most` for one endpoint; zero opens none. Those that
    /// are ready are counted in `waiting`.
    pub fn new(most: usize, waiting: Arc<AtomicUsize>) -> Self {
        Self { most, endpoints: Mutex::default(), places: Places::default(), waiting }
    }
}

impl<T: Pooled> Ahead<T> {
    /// For a request of worker `by` that found no idle connection to the endpoint: a call that is
    /// ready, if there is one. Either way it is remembered that one was needed.
    pub fn take(
        &self,
        (reach, key): (&Reach, &BackendKey),
        snapshot: &Snapshot,
        by: usize,
        now: Instant,
    ) -> Option<(T, Origin)> {
        if self.most == 0 || matches!(reach, Reach::Direct(_)) {
            return None;
        }
        let mut endpoints = try_lock(&self.endpoints)?;
        if let Some(endpoint) = endpoints.get_mut(reach) {
            endpoint.need = endpoint.need.again(now);
            endpoint.by = by;
            while let Some(mut ready) = endpoint.ready.pop_back() {
                if ready.is_good(snapshot, now)
                    && let Some(found) = ready.given_to(by)
                {
                    return Some(found);
                }
            }
        } else if endpoints.len() < ENDPOINTS_MAX {
            let need = Need { last: now, count: 1 };
            let (key, ready) = (key.clone(), VecDeque::new());
            endpoints.insert(reach.clone(), Endpoint { key, need, by, opening: 0, ready });
        }
        None
    }

    /// Drops calls that were not used in time or lead nowhere, forgets endpoints that were not
    /// called lately, and says what worker `by` should open. Each is reported as opened or failed.
    pub fn plan(&self, snapshot: &Snapshot, by: usize, now: Instant) -> Vec<ToOpen> {
        let mut plan = Vec::new();
        // Another worker is at it: what is missed now is seen the next time.
        let Some(mut endpoints) = try_lock(&self.endpoints) else { return plan };
        endpoints.retain(|reach, endpoint| {
            if endpoint.by != by {
                return true;
            }
            let wanted = endpoint.need.wanted(self.most, now);
            endpoint.ready.retain_mut(|ready| ready.is_good(snapshot, now));
            let count = wanted.saturating_sub(endpoint.ready.len() + endpoint.opening);
            if count > 0 {
                endpoint.opening += count;
                plan.push(ToOpen { reach: reach.clone(), key: endpoint.key.clone(), count });
            }
            wanted > 0
        });
        plan
    }

    /// A place for a call, unless all are taken.
    pub fn place(&self) -> Option<Place> {
        self.places.take()
    }

    /// A call is ready.
    pub fn opened(&self, mut ready: Ready<T>) {
        let mut endpoints = lock(&self.endpoints);
        // Whoever was forgotten meanwhile needs it no more.
        let Some(endpoint) = endpoints.get_mut(&ready.origin.reach) else { return };
        endpoint.opening = endpoint.opening.saturating_sub(1);
        if endpoint.ready.len() < self.most {
            ready.place.count_in(&self.waiting);
            endpoint.ready.push_back(ready);
        }
    }

    /// A call could not be opened: the endpoint is left alone until a request needs it again.
    pub fn failed(&self, reach: &Reach) {
        lock(&self.endpoints).remove(reach);
    }
}

impl<T: Pooled> Ready<T> {
    fn is_good(&mut self, snapshot: &Snapshot, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < READY_WAIT
            && self.origin.is_live(snapshot)
            && !self.connection.is_stale()
    }

    /// Watched by the runtime of worker `by`, which calls this.
    fn given_to(self, by: usize) -> Option<(T, Origin)> {
        let Self { connection, origin, .. } = self;
        let connection = if self.by == by { Some(connection) } else { connection.move_here() };
        Some((connection?, origin))
    }
}

/// Opens what a worker is in need of; called now and then, on the worker's runtime.
pub fn keep(worker: &Arc<Worker>, snapshot: &Arc<Snapshot>, now: Instant) {
    let ahead = &worker.shared().ahead;
    for ToOpen { reach, key, count } in ahead.plan(snapshot, worker.number(), now) {
        for _ in 0..count {
            let (worker, snapshot) = (Arc::clone(worker), Arc::clone(snapshot));
            let (reach, key) = (reach.clone(), key.clone());
            tokio::spawn(async move {
                if !open(&worker, &snapshot, &reach, key).await {
                    worker.shared().ahead.failed(&reach);
                }
            });
        }
    }
}

async fn open(worker: &Worker, snapshot: &Snapshot, reach: &Reach, key: BackendKey) -> bool {
    let Reach::Via(target) = reach else { return false };
    let ahead = &worker.shared().ahead;
    let Some(place) = ahead.place() else { return false };
    // Whether the endpoint takes requests is for requests to find out: a failure is not remembered.
    match near::call(worker.shared(), snapshot, target, &Hello::default()).await {
        Ok(call) => {
            let Connection { wire, carrier } = Connection::from(call);
            let origin = Origin::new(reach.clone(), key, carrier);
            let (by, since) = (worker.number(), Instant::now());
            ahead.opened(Ready { connection: wire, origin, by, since, place });
            true
        }
        Err(error) => {
            tracing::debug!(%error, "a call could not be opened ahead");
            false
        }
    }
}
