//! The routing table: which rule takes a connection or a request. Immutable; looked up, never locked.

mod host_index;
mod matching;
mod path_index;
mod port;
mod rule;
mod virtual_hosts;

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{BackendKey, HashMap};

pub use self::host_index::{HostIndex, covers, intersect};
pub use self::matching::{
    InvalidPattern, Match, Mismatch, NamedMatch, PATTERN_SIZE_BYTES_MAX, PathMatch, Pattern,
    ValueMatch,
};
pub use self::path_index::{Age, Rank};
pub use self::port::{
    ClientAuth, MirroredPort, Port, PortOwner, PortServes, SniAction, SniTable, StreamRule,
    TlsTermination,
};
pub use self::rule::{
    Backend, Filter, HeaderChange, HeaderName, HeaderValue, Rule, RuleId, Target, Timeouts,
};
pub use self::virtual_hosts::{Outcome, Place, Standing, Tried, VirtualHosts};

/// What a match may ask of a request: the same for both versions of HTTP.
pub trait Request {
    /// The method, such as `GET`.
    fn method(&self) -> &str;
    /// The path, with its leading slash and without the query.
    fn path(&self) -> &str;
    /// What follows the `?`.
    fn query(&self) -> Option<&str>;
    /// The host without port, lower case.
    fn host(&self) -> &str;
    /// The values of a field; `name` is lower case.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a;
}

/// All ports that this gateway serves, by the container port: the local port of a connection
/// says which Gateway or mirrored Service is meant.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    /// Container port → what it serves.
    pub ports: HashMap<u16, Arc<Port>>,
    /// Counts compilations in this process; shown, never compared between processes.
    pub version: u64,
}

impl RoutingTable {
    /// Everybody whose endpoints the table names.
    pub fn backends(&self) -> HashSet<BackendKey> {
        self.ports.values().flat_map(|port| port.backends()).collect()
    }

    /// What the container port `number` serves.
    pub fn port(&self, number: u16) -> Option<&Arc<Port>> {
        self.ports.get(&number)
    }
}
