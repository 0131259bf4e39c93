//! Which rule takes a request: hosts, then matches in the order of precedence.

use std::sync::Arc;

use super::{HostIndex, Request, Rule};

/// The rules behind one listener port, by host.
#[derive(Clone, Debug, Default)]
pub struct VirtualHosts {
    hosts: HostIndex<Vec<Arc<Rule>>>,
}

impl VirtualHosts {
    /// The rule that takes `request`.
    pub fn find<R: Request>(&self, request: &R) -> Option<&Arc<Rule>> {
        self.hosts.find(request.host())?.first()
    }
}
