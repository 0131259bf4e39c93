//! What one request or connection reads: one value, loaded once.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use config::table::RoutingTable;
use discovery::catalog::Offers;
use discovery::endpoint::EndpointTable;

use crate::tls::credentials::Credentials;

#[cfg(test)]
mod tests;

/// The inputs of the path of a connection or request, of one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which rule.
    pub table: Arc<RoutingTable>,
    /// Which endpoints.
    pub endpoints: Arc<EndpointTable>,
    /// What we can prove, and whom we believe.
    pub credentials: Arc<Credentials>,
    /// What linked clusters may reach.
    pub offers: Arc<Offers>,
}

/// A snapshot as the requests of one worker hold it: behind a count that only they write. All of a
/// process would otherwise count on one line of memory.
pub type Seen = Arc<Arc<Snapshot>>;

thread_local! {
    /// What this worker has seen last.
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// The one place from which snapshots are read.
#[derive(Debug, Default)]
pub struct Published {
    now: ArcSwap<Snapshot>,
}

impl Published {
    /// The snapshot of now, for a moment.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.now.load()
    }

    /// The snapshot of now, to keep.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    /// The snapshot of now, for a request that loads it once.
    pub fn seen(&self) -> Seen {
        let now = self.now.load();
        SEEN.with_borrow_mut(|seen| {
            if !Arc::ptr_eq(&**seen, &now) {
                *seen = Arc::new(Arc::clone(&now));
            }
            Arc::clone(seen)
        })
    }

    /// Puts the next snapshot in the place of the last, and returns that: whoever publishes keeps it
    /// until no request reads it, so that no worker is left with all of it to drop.
    pub fn swap(&self, next: Arc<Snapshot>) -> Arc<Snapshot> {
        self.now.swap(next)
    }
}
