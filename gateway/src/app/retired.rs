//! Snapshots that are published no more and may still be read.
//!
//! Whoever lets go of a snapshot last drops it, and with it all of a table that no other shares: for
//! a large one that is far longer than a worker may be away. So one reference is kept here until it
//! is the only one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::snapshot::Snapshot;

/// How often it is looked whether a snapshot is still read: requests take milliseconds, and their
/// memory is worth little for a second more.
const EVERY: Duration = Duration::from_secs(1);

/// Snapshots that may still be read.
#[derive(Debug, Default)]
pub(super) struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
    looked: Option<Instant>,
}

impl Retired {
    /// Keeps a snapshot that is published no more.
    pub(super) fn push(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.push(snapshot);
    }

    /// Those that nobody else holds. Nobody can come to hold one again.
    pub(super) fn unread(&mut self, at: Instant) -> Vec<Arc<Snapshot>> {
        self.looked = Some(at);
        self.snapshots.extract_if(.., |one| Arc::strong_count(one) == 1).collect()
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.snapshots.is_empty()).then(|| self.looked.map(|looked| looked + EVERY))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_is_read_is_kept_and_given_when_it_is_not() {
        let (mut retired, now) = (Retired::default(), Instant::now());
        let read = Arc::new(Snapshot::default());
        retired.push(Arc::clone(&read));
        retired.push(Arc::default());
        assert_eq!(retired.unread(now).len(), 1, "nobody reads the other");
        assert_eq!(retired.next(), Some(now + EVERY));
        drop(read);
        assert_eq!(retired.unread(now + EVERY).len(), 1);
        assert_eq!(retired.next(), None);
    }
}
