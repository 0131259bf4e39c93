//! What the gateways tell the leader, and what it answers: they only read the API server.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use config::model::{LinkName, Name};
use config::table::PortOwner;

/// The state of one gateway, whole: each report replaces the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayReport {
    /// UID of its pod.
    pub instance: Arc<str>,
    /// Its pod.
    pub pod: Name,
    /// Addresses of its pod.
    pub addresses: Vec<IpAddr>,
    /// Whether all that `/ready` asks for is there, but for the leader's confirmation.
    pub serving: bool,
    /// Whether it leaves.
    pub draining: bool,
    /// Version of its routing table.
    pub table_version: u64,
    /// Container ports that are bound, each with its owner.
    pub bound: BTreeSet<(u16, PortOwner)>,
    /// Container ports that could not be bound, and why.
    pub bind_failures: Vec<(u16, PortOwner, String)>,
    /// One for each link.
    pub links: Vec<LinkReport>,
    /// Peers of no known link that were refused since the start of this gateway: reason and count.
    pub strangers: Vec<(Arc<str>, u64)>,
}

/// How a gateway finds a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// The link.
    pub link: LinkName,
    /// Whether the catalog stream stands.
    pub connected: bool,
    /// Why not, or why the peer is not trusted: a reason in CamelCase and a sentence.
    pub problem: Option<(Arc<str>, String)>,
    /// Seconds since the far side's own watches were known to be current.
    pub age_seconds: u64,
    /// Peers that were refused since the start of this gateway: reason and count.
    pub refused: Vec<(Arc<str>, u64)>,
    /// Services in the catalog.
    pub services: u64,
}

/// What the leader tells a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaderWord {
    /// The gateway stands in every slice that should name it: it may turn Ready.
    pub in_slices: bool,
    /// It is out of every slice: it may stop accepting after the named wait for kube-proxy.
    pub removed: bool,
}
