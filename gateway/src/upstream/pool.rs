//! Idle connections, kept for the next request.
//!
//! Each worker has a pool of its own, and only where that has nothing does it look into the others':
//! what it would do instead, open another connection, costs more than all those looks. It tries
//! their locks and never waits for one, and holds one for a look-up at most.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use config::model::BackendKey;
use discovery::endpoint::{EndpointSet, Reach};

use super::tcp;
use crate::http::h1::ClientConn;
use crate::link::near::Carrier;
use crate::lock::{lock, try_lock};
use crate::snapshot::Snapshot;
use crate::tls::stream::Socket as _;
use crate::wire::{self, Wire, WireReader};
use crate::worker::{Each, Http1};

#[cfg(test)]
mod tests;

/// Idle connections of one worker: each costs file descriptors and memory at three places.
pub const IDLE_MAX: usize = 1024;
/// Idle connections of one worker to one endpoint: more than are used at once are no help.
pub const IDLE_PER_ENDPOINT_MAX: usize = 32;
/// How long a connection may be idle: below the limits of usual servers (60 s and more), so that
/// we leave first.
pub const IDLE_WAIT: Duration = Duration::from_secs(50);
/// How long a connection may have been idle for a request that may not be sent twice: an endpoint
/// that closes idle connections hardly does so within this.
pub const IDLE_WAIT_ONCE: Duration = Duration::from_secs(1);
/// How long a connection has rested before another worker takes it over. One that is used more
/// often than this is no surplus: its own worker would miss it at once, and take it back.
pub const REST: Duration = Duration::from_millis(5);

/// Something that can wait in a pool.
pub trait Pooled: Send {
    /// Whether the peer has closed it, or said what nobody asked for.
    fn is_stale(&mut self) -> bool;

    /// Lets the runtime of this thread watch it, in place of the one that has till now. `None`: it
    /// is stale, or the system said no.
    fn move_here(self) -> Option<Self>
    where
        Self: Sized;
}

/// For whom a connection was opened.
#[derive(Clone, Debug)]
pub struct Origin {
    /// How the endpoint is reached.
    pub reach: Reach,
    /// Under which key it was found.
    pub key: BackendKey,
    /// Who carries it, if it goes through a link.
    pub carrier: Option<Carrier>,
    /// The set in which the endpoint was found last: while it stays, nobody has to look again.
    found_in: Option<Arc<EndpointSet>>,
}

/// One worker's idle connections of one protocol.
#[derive(Debug)]
pub struct Pool<T>(Mutex<Idle<T>>);

type ByReach<T> = HashMap<Reach, T, ahash::RandomState>;

#[derive(Debug)]
struct Idle<T> {
    /// The one that was used last comes last.
    by_reach: ByReach<VecDeque<Kept<T>>>,
    count: usize,
}

#[derive(Debug)]
struct Kept<T> {
    connection: T,
    /// Boxed, as it goes from the pool to a request and back each time.
    origin: Box<Origin>,
    since: Instant,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(Idle { by_reach: HashMap::default(), count: 0 }))
    }
}

impl<T: Pooled> Each<Pool<T>> {
    /// A connection to the endpoint that is reached so, with its origin, that has been idle for
    /// less than `within`: one's own, or one that rests with another worker.
    pub fn take(
        &self,
        reach: &Reach,
        snapshot: &Snapshot,
        now: Instant,
        within: Duration,
    ) -> Option<(T, Box<Origin>)> {
        let own = self.own().take(reach, snapshot, now, within);
        own.or_else(|| self.others().find_map(|other| other.part(reach, snapshot, now, within)))
    }
}

impl<T: Pooled> Pool<T> {
    /// For the worker whose it is.
    fn take(
        &self,
        reach: &Reach,
        snapshot: &Snapshot,
        now: Instant,
        within: Duration,
    ) -> Option<(T, Box<Origin>)> {
        // Whoever else looks in here needs a connection to an endpoint for which it has none.
        let mut idle = try_lock(&self.0)?;
        loop {
            let queue = idle.by_reach.get_mut(reach)?;
            let rested = now.saturating_duration_since(queue.back()?.since);
            if rested >= within && rested < IDLE_WAIT {
                // All others have been idle for longer.
                return None;
            }
            // An empty queue stays for the next connection; the sweep takes it away.
            let mut kept = queue.pop_back()?;
            idle.count = idle.count.saturating_sub(1);
            let fresh = rested < IDLE_WAIT;
            if fresh && !kept.origin.is_draining(snapshot) && !kept.connection.is_stale() {
                return Some((kept.connection, kept.origin));
            }
        }
    }

    /// For another worker, which calls this: what it gets is watched by its runtime from now on.
    fn part(
        &self,
        reach: &Reach,
        snapshot: &Snapshot,
        now: Instant,
        within: Duration,
    ) -> Option<(T, Box<Origin>)> {
        while let Some(kept) = self.rested(reach, now, within.min(IDLE_WAIT)) {
            if !kept.origin.is_draining(snapshot)
                && let Some(connection) = kept.connection.move_here()
            {
                return Some((connection, kept.origin));
            }
        }
        None
    }

    /// The one that was idle for longest, but for less than `within`.
    fn rested(&self, reach: &Reach, now: Instant, within: Duration) -> Option<Kept<T>> {
        let mut idle = try_lock(&self.0)?;
        let queue = idle.by_reach.get_mut(reach)?;
        let rests =
            |kept: &Kept<T>| (REST..within).contains(&now.saturating_duration_since(kept.since));
        let at = queue.iter().position(rests)?;
        let kept = queue.remove(at);
        idle.count = idle.count.saturating_sub(1);
        kept
    }

    /// Keeps a connection, unless there are enough. Called when the answer has been given: nobody
    /// waits for it, should another worker look in here at the moment.
    pub fn put(&self, connection: T, origin: Box<Origin>, now: Instant) {
        let mut idle = lock(&self.0);
        if idle.count >= IDLE_MAX {
            return;
        }
        let queue = match idle.by_reach.get_mut(&origin.reach) {
            Some(queue) => queue,
            None => idle.by_reach.entry(origin.reach.clone()).or_default(),
        };
        queue.push_back(Kept { connection, origin, since: now });
        if queue.len() > IDLE_PER_ENDPOINT_MAX {
            queue.pop_front();
        } else {
            idle.count += 1;
        }
    }

    /// Drops what nobody should use any more, `most` at once: too long idle, closed by the peer,
    /// carried by a gateway that drains, or to an endpoint that is gone. Gives how many are left of
    /// those.
    pub fn sweep(&self, snapshot: &Snapshot, now: Instant, most: usize) -> usize {
        let mut idle = lock(&self.0);
        let (mut dropped, mut left) = (0, 0);
        idle.by_reach.retain(|_, queue| {
            queue.retain_mut(|kept| {
                let good = now.saturating_duration_since(kept.since) < IDLE_WAIT
                    && kept.origin.is_live(snapshot)
                    && !kept.connection.is_stale();
                let stays = good || dropped >= most;
                dropped += usize::from(!stays);
                left += usize::from(!good && stays);
                stays
            });
            !queue.is_empty()
        });
        idle.count = idle.by_reach.values().map(VecDeque::len).sum();
        left
    }

    /// How many are idle.
    pub fn len(&self) -> usize {
        lock(&self.0).count
    }

    /// Whether none is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Origin {
    /// Of an endpoint that was found under `key`.
    pub const fn new(reach: Reach, key: BackendKey, carrier: Option<Carrier>) -> Self {
        Self { reach, key, carrier, found_in: None }
    }

    /// Whether the far gateway that carries it drains, or its link is gone.
    pub fn is_draining(&self, snapshot: &Snapshot) -> bool {
        self.carrier.as_ref().is_some_and(|carrier| carrier.is_draining(snapshot))
    }

    /// Whether a request may still go there.
    pub fn is_live(&mut self, snapshot: &Snapshot) -> bool {
        let Some(set) = snapshot.endpoints.sets.get(&self.key) else { return false };
        let is_known = self.found_in.as_ref().is_some_and(|known| Arc::ptr_eq(known, set));
        if !is_known {
            let named = set.endpoints.iter().any(|endpoint| endpoint.reach == self.reach);
            self.found_in = named.then(|| Arc::clone(set));
        }
        self.found_in.is_some() && !self.is_draining(snapshot)
    }
}

impl Pooled for Wire {
    fn is_stale(&mut self) -> bool {
        wire::has_stirred(self)
    }

    fn move_here(mut self) -> Option<Self> {
        if self.is_stale() {
            return None;
        }
        said_if_not(tcp::rewatch(self.tcp_mut()))?;
        Some(self)
    }
}

impl Pooled for Http1 {
    fn is_stale(&mut self) -> bool {
        ClientConn::is_stale(self, WireReader::has_stirred)
    }

    fn move_here(mut self) -> Option<Self> {
        if self.is_stale() {
            return None;
        }
        // What belongs to the thread that served it, timers and buffers, stays there.
        let waits = self.reader.waits();
        let (reader, writer, _none) = self.into_parts();
        let moved = reader.join(writer).and_then(|mut wire| {
            tcp::rewatch(wire.tcp_mut())?;
            Ok(wire)
        });
        let (reader, writer) = said_if_not(moved)?.split();
        Some(Self::new(ClientConn::new(reader, writer, waits)))
    }
}

fn said_if_not<T>(done: io::Result<T>) -> Option<T> {
    done.inspect_err(|error| tracing::debug!(%error, "an idle connection stays where it is")).ok()
}
