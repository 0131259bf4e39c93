//! Connections that many requests share at once (HTTP/2).
//!
//! While little is to be done one connection to an endpoint does for all workers. Each request of
//! another worker than drives it wakes that one, so whoever has much to do opens its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use discovery::endpoint::Reach;

use super::pool::{IDLE_PER_ENDPOINT_MAX, IDLE_WAIT, Origin};
use crate::lock::{lock, try_lock};
use crate::snapshot::Snapshot;
use crate::worker::Each;

#[cfg(test)]
mod tests;

/// Requests under way on the connection of another worker, from which on one's own is opened: so
/// many that those who wake each other share the cost of a wake-up no more.
pub const LENT_MAX: usize = 8;

/// Something that many requests share at once.
pub trait Shareable: Send + Sync {
    /// Whether it takes requests, as far as is known.
    fn is_open(&self) -> bool;
    /// Whether another request finds a place at once.
    fn has_room(&self) -> bool;
    /// Requests under way, those of all workers.
    fn under_way(&self) -> usize;
}

/// The sessions that one worker uses.
#[derive(Debug)]
pub struct Sessions<T>(Mutex<HashMap<Reach, Vec<Shared<T>>, ahash::RandomState>>);

#[derive(Debug)]
struct Shared<T> {
    session: Arc<T>,
    origin: Origin,
    /// Last used.
    since: Instant,
    /// Another worker opened it.
    lent: bool,
}

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Shareable> Each<Sessions<T>> {
    /// A session with a free place: one's own, or one that another worker has little use for.
    pub fn get(&self, reach: &Reach, snapshot: &Snapshot, now: Instant) -> Option<Arc<T>> {
        if let Some(session) = self.own().get(reach, snapshot, now) {
            return Some(session);
        }
        let (session, origin) = self.others().find_map(|other| other.lend(reach, snapshot))?;
        // From now on it is found without a look into those of others.
        let lent = Shared { session: Arc::clone(&session), origin, since: now, lent: true };
        self.own().keep(lent);
        Some(session)
    }
}

impl<T: Shareable> Sessions<T> {
    fn get(&self, reach: &Reach, snapshot: &Snapshot, now: Instant) -> Option<Arc<T>> {
        // Whoever else looks in here is another worker that has none.
        let mut sessions = try_lock(&self.0)?;
        let sessions = sessions.get_mut(reach)?;
        let shared = sessions.iter_mut().find(|shared| shared.is_usable(snapshot))?;
        shared.since = now;
        Some(Arc::clone(&shared.session))
    }

    /// For another worker.
    fn lend(&self, reach: &Reach, snapshot: &Snapshot) -> Option<(Arc<T>, Origin)> {
        let sessions = try_lock(&self.0)?;
        let free = |shared: &&Shared<T>| {
            !shared.lent && shared.is_usable(snapshot) && shared.session.under_way() < LENT_MAX
        };
        let shared = sessions.get(reach)?.iter().find(free)?;
        Some((Arc::clone(&shared.session), shared.origin.clone()))
    }

    /// Offers a session that this worker has opened to other requests. One that is not kept ends
    /// with its last request.
    pub fn put(&self, session: Arc<T>, origin: Origin, now: Instant) {
        self.keep(Shared { session, origin, since: now, lent: false });
    }

    fn keep(&self, shared: Shared<T>) {
        let mut sessions = lock(&self.0);
        let kept = sessions.entry(shared.origin.reach.clone()).or_default();
        kept.retain(|kept| kept.session.is_open());
        if kept.len() < IDLE_PER_ENDPOINT_MAX {
            kept.push(shared);
        }
    }

    /// Forgets the closed and those to whom no request may go any more; requests under way hold
    /// theirs until they are done.
    pub fn sweep(&self, snapshot: &Snapshot, now: Instant) {
        lock(&self.0).retain(|_, sessions| {
            sessions.retain_mut(|shared| {
                let session = &shared.session;
                let recent = now.saturating_duration_since(shared.since) < IDLE_WAIT;
                let used = recent || session.under_way() > 0;
                session.is_open() && used && shared.origin.is_live(snapshot)
            });
            !sessions.is_empty()
        });
    }
}

impl<T: Shareable> Shared<T> {
    /// Whether another request of this worker may be put on it.
    fn is_usable(&self, snapshot: &Snapshot) -> bool {
        let idle_enough = !self.lent || self.session.under_way() < LENT_MAX;
        idle_enough
            && self.session.is_open()
            && self.session.has_room()
            && !self.origin.is_draining(snapshot)
    }
}
