//! What the gateways tell the leader, and what it answers: they only read the API server.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use config::model::{LinkName, Name};
use config::table::PortOwner;
use imbl::Vector;

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
    pub bound: BoundPorts,
    /// Container ports that could not be bound, and why.
    pub bind_failures: Vec<(u16, PortOwner, String)>,
    /// One for each link.
    pub links: Vec<LinkReport>,
    /// Peers of no known link that were refused since the start of this gateway: reason and count.
    pub strangers: Vec<(Arc<str>, u64)>,
}

/// Container ports, each with its owner, in order: as close together as a copy that is cheap allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundPorts(Vector<(u16, PortOwner)>);

impl BoundPorts {
    /// Adds one.
    pub fn insert(&mut self, port: (u16, PortOwner)) {
        if let Err(at) = self.0.binary_search(&port) {
            self.0.insert(at, port);
        }
    }

    /// Takes one away; false if it is not there.
    pub fn remove(&mut self, port: &(u16, PortOwner)) -> bool {
        self.0.binary_search(port).map(|at| self.0.remove(at)).is_ok()
    }

    /// Whether it is there.
    pub fn contains(&self, port: &(u16, PortOwner)) -> bool {
        self.0.binary_search(port).is_ok()
    }

    /// Who has this one.
    pub fn owners(&self, port: u16) -> impl Iterator<Item = &PortOwner> {
        let first = self.0.binary_search_by(|(other, _)| other.cmp(&port).then(Ordering::Greater));
        let first = first.unwrap_or_else(|at| at);
        let all = (first..).map_while(|at| self.0.get(at));
        all.take_while(move |(other, _)| *other == port).map(|(_, owner)| owner)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(u16, PortOwner)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(u16, PortOwner)> for BoundPorts {
    fn from_iter<I: IntoIterator<Item = (u16, PortOwner)>>(ports: I) -> Self {
        let mut all = Self::default();
        ports.into_iter().for_each(|port| all.insert(port));
        all
    }
}

impl GatewayReport {
    /// The owners of the ports that it could not bind, each with a sentence for a condition.
    pub fn unbound(&self) -> impl Iterator<Item = (&PortOwner, String)> {
        self.bind_failures.iter().map(|(port, owner, why)| {
            let sentence =
                format!("{} cannot bind {port} for port {}: {why}", self.pod, owner.port);
            (owner, sentence)
        })
    }

    /// Whether the leader decides alike on both: versions, ages and counts change all the time, and
    /// of a count only whether there is one stands anywhere.
    pub fn decides_alike(&self, other: &Self) -> bool {
        let Self {
            instance,
            pod,
            addresses,
            serving,
            draining,
            table_version: _,
            bound,
            bind_failures,
            links,
            strangers,
        } = self;
        *instance == other.instance
            && *pod == other.pod
            && *addresses == other.addresses
            && *serving == other.serving
            && *draining == other.draining
            && *bound == other.bound
            && *bind_failures == other.bind_failures
            && links.len() == other.links.len()
            && links.iter().zip(&other.links).all(|(one, other)| one.decides_alike(other))
            && happened(strangers).eq(happened(&other.strangers))
    }
}

impl LinkReport {
    fn decides_alike(&self, other: &Self) -> bool {
        let Self { link, connected, problem, age_seconds: _, refused, services: _ } = self;
        *link == other.link
            && *connected == other.connected
            && *problem == other.problem
            && happened(refused).eq(happened(&other.refused))
    }
}

/// The reasons that were met at least once.
fn happened(counted: &[(Arc<str>, u64)]) -> impl Iterator<Item = &Arc<str>> {
    counted.iter().filter(|(_, count)| *count > 0).map(|(reason, _)| reason)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> GatewayReport {
        let link = LinkReport {
            link: "west".into(),
            connected: true,
            problem: None,
            age_seconds: 1,
            refused: vec![("UnknownAuthority".into(), 1), ("Expired".into(), 0)],
            services: 2,
        };
        GatewayReport {
            instance: "one".into(),
            pod: Name::new("spanway-system", "one"),
            addresses: vec![],
            serving: true,
            draining: false,
            table_version: 1,
            bound: BoundPorts::default(),
            bind_failures: vec![],
            links: vec![link],
            strangers: vec![],
        }
    }

    #[test]
    fn bound_ports_are_found_by_number_whatever_their_order() {
        let owner = |uid: &str| PortOwner { uid: uid.into(), port: 80 };
        let all =
            [(3, owner("b")), (1, owner("a")), (2, owner("c")), (2, owner("a")), (1, owner("a"))];
        let mut bound: BoundPorts = all.into_iter().collect();
        let sorted = [(1, owner("a")), (2, owner("a")), (2, owner("c")), (3, owner("b"))];
        assert!(bound.iter().eq(&sorted));
        assert!(bound.owners(2).eq(&[owner("a"), owner("c")]));
        assert!(bound.owners(4).next().is_none() && bound.owners(0).next().is_none());
        assert!(bound.contains(&sorted[1]) && !bound.contains(&(3, owner("a"))));
        assert!(bound.remove(&sorted[1]) && !bound.remove(&sorted[1]));
        assert!(bound.owners(2).eq(&[owner("c")]));
        assert_eq!((bound.len(), bound.is_empty()), (3, false));
    }

    #[test]
    fn ages_and_counts_are_nothing_to_decide_on() {
        let mut later = report();
        later.table_version += 1;
        later.links[0].age_seconds += 3;
        later.links[0].refused[0].1 += 5;
        assert!(report().decides_alike(&later));
    }

    #[test]
    fn the_first_refusal_is_something_to_decide_on() {
        let changes: [fn(&mut GatewayReport); 4] = [
            |report| report.links[0].refused[1].1 = 1,
            |report| report.strangers.push(("NoCertificate".into(), 1)),
            |report| report.links[0].connected = false,
            |report| report.draining = true,
        ];
        for change in changes {
            let mut later = report();
            change(&mut later);
            assert!(!report().decides_alike(&later), "{later:?}");
        }
    }
}
