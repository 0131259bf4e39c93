//! The routing table: which rule takes a connection or a request. Immutable; looked up, never locked.

mod header_change;
mod host_index;
mod matching;
mod path_index;
mod port;
mod rule;
mod virtual_hosts;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::model::{BackendKey, HashMap};
use crate::resources::Revision;

pub use self::header_change::{HeaderChange, HeaderField, NameMarks};
pub use self::host_index::{HostIndex, covers, intersect};
pub use self::matching::{
    InvalidPattern, Match, Mismatch, NamedMatch, PATTERN_SIZE_BYTES_MAX, PathMatch, Pattern,
    ValueMatch,
};
pub use self::path_index::{Age, Rank};
pub use self::port::{
    ClientAuth, MirroredPort, Owned, Port, PortOwner, PortServes, SniAction, SniTable, StreamRule,
    TlsTermination, Withdrawn,
};
pub use self::rule::{Backend, Filter, Rule, RuleId, Target, Timeouts};
pub use self::virtual_hosts::{Hosts, Outcome, Place, Standing, Tried, VirtualHosts};

/// What a match may ask of a request: the same for both versions of HTTP.
pub trait Request {
    /// The method, such as `GET`.
    fn method(&self) -> &str;
    /// The path, with its leading slash and without the query; bytes, as to show that they are text
    /// takes longer than to compare them.
    fn path(&self) -> &[u8];
    /// What follows the `?`.
    fn query(&self) -> Option<&str>;
    /// The host without port, lower case.
    fn host(&self) -> &[u8];
    /// The values of a field; `name` is lower case.
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a;
}

/// All ports that this gateway serves, by the container port: the local port of a connection
/// says which Gateway or mirrored Service is meant.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    /// Container port → what it serves. In order, so that two tables are compared in proportion to
    /// what differs between them.
    pub ports: OrdMap<u16, Arc<Port>>,
    /// The same for ports that nobody owns any more. `compile` knows nothing of the past and leaves
    /// this empty; whoever brings one table after the other fills it.
    pub withdrawn: HashMap<u16, Withdrawn>,
    /// Equal for as long as no listener ends TLS in another way.
    pub terminations: Revision,
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

    /// Whether the container port `number` belongs to `owner`.
    pub fn stands(&self, number: u16, owner: &PortOwner) -> bool {
        self.port(number).is_some_and(|port| port.owner == *owner)
    }

    /// What the container port `number` serves to the connections of `owner`. They keep their owner
    /// when it goes and when the port is given to somebody else.
    pub fn port_of(&self, number: u16, owner: &PortOwner) -> Option<Owned<'_>> {
        let standing = self.port(number).filter(|port| port.owner == *owner);
        let standing = standing.map(|port| Owned { port, stands: true });
        standing.or_else(|| {
            let gone = self.withdrawn.get(&number).filter(|gone| gone.port.owner == *owner)?;
            Some(Owned { port: &gone.port, stands: false })
        })
    }

    /// Whose connections the container port `number` accepts: those of a port that was given away
    /// again are its new owner's alone.
    pub fn accepts(&self, number: u16) -> Option<&PortOwner> {
        let withdrawn = || self.withdrawn.get(&number).filter(|gone| gone.accepts);
        let port = self.port(number).or_else(|| withdrawn().map(|gone| &gone.port))?;
        Some(&port.owner)
    }

    /// The container ports that may be others than in `before`. What stands in both is not looked
    /// at.
    pub fn ports_not_in(&self, before: &Self) -> BTreeSet<u16> {
        let standing = before.ports.diff(&self.ports).map(|item| match item {
            DiffItem::Add(number, _)
            | DiffItem::Remove(number, _)
            | DiffItem::Update { new: (number, _), .. } => *number,
        });
        let withdrawn = before.withdrawn.keys().chain(self.withdrawn.keys()).copied();
        standing.chain(withdrawn).collect()
    }
}
