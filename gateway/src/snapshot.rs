//! What one request or connection reads: one value, loaded once.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use config::table::RoutingTable;
use discovery::catalog::Offers;
use discovery::endpoint::EndpointTable;

use crate::tls::credentials::Credentials;

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

/// The one place from which snapshots are read.
#[derive(Debug, Default)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// The snapshot of now, for a request that loads it once.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// The snapshot of now, to keep.
    pub fn load_full(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts the next snapshot in the place of the last. Returns the last, to be dropped where
    /// no request waits.
    pub fn swap(&self, next: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.swap(next)
    }
}
