//! Which session a request is put on, and when a worker opens its own.

use config::model::{BackendKey, Name, ServicePort};
use discovery::endpoint::{Endpoint, EndpointId, EndpointSet, EndpointTable, LinkPeers};

use super::*;
use crate::link::near::Carrier;

/// A session with so many requests under way, of so many places.
#[derive(Debug)]
struct Room(usize, usize);

impl Shareable for Room {
    fn is_open(&self) -> bool {
        true
    }

    fn has_room(&self) -> bool {
        self.0 < self.1
    }

    fn under_way(&self) -> usize {
        self.0
    }
}

fn reach() -> Reach {
    Reach::Direct(([192, 0, 2, 1], 80).into())
}

fn key() -> BackendKey {
    BackendKey::Service(ServicePort { service: Name::new("shop", "web"), port: 80 })
}

/// Carried by an instance of link `west`.
fn carried(instance: &str) -> Origin {
    let carrier = Carrier { link: "west".into(), instance: instance.into() };
    Origin::new(reach(), key(), Some(carrier))
}

/// The endpoint is there or not, and these gateways of `west` drain.
fn world(there: bool, draining: &[&str]) -> Snapshot {
    let endpoint = Endpoint { id: EndpointId("e".into()), reach: reach(), zone: None };
    let endpoints = there.then(|| Arc::new(endpoint)).into_iter().collect();
    let draining = draining.iter().map(|instance| Arc::from(*instance)).collect();
    let mut table = EndpointTable::default();
    table.sets.insert(&key(), Arc::new(EndpointSet { endpoints, ..EndpointSet::default() }));
    table.links.insert("west".into(), Arc::new(LinkPeers { draining, ..LinkPeers::default() }));
    Snapshot { endpoints: Arc::new(table), ..Snapshot::default() }
}

/// The sessions of two workers.
fn two() -> (Each<Sessions<Room>>, Each<Sessions<Room>>) {
    let mut both = Each::of(2);
    (both.next().unwrap(), both.next().unwrap())
}

#[test]
fn a_session_is_shared_while_it_has_room_and_its_gateway_stays() {
    let (sessions, now) = (Each::<Sessions<Room>>::default(), Instant::now());
    let got = |snapshot: &Snapshot| sessions.get(&reach(), snapshot, now).is_some();
    sessions.own().put(Arc::new(Room(9, 9)), carried("stays"), now);
    assert!(!got(&world(true, &[])));
    sessions.own().put(Arc::new(Room(8, 9)), carried("goes"), now);
    assert!(got(&world(true, &[])));
    assert!(got(&world(true, &[])));
    assert!(!got(&world(true, &["goes"])));
    sessions.own().sweep(&world(false, &[]), now);
    assert!(!got(&world(true, &[])));
}

#[test]
fn a_worker_without_a_session_shares_one_of_another_that_has_little_to_do() {
    for (under_way, shared) in [(0, true), (LENT_MAX - 1, true), (LENT_MAX, false)] {
        let ((mine, theirs), now, world) = (two(), Instant::now(), world(true, &[]));
        theirs.own().put(Arc::new(Room(under_way, 100)), carried("stays"), now);
        assert_eq!(mine.get(&reach(), &world, now).is_some(), shared, "{under_way}");
    }
}

#[test]
fn what_is_lent_is_not_lent_on_and_left_when_it_drains() {
    let mut three = Each::<Sessions<Room>>::of(3);
    let mut next = || three.next().unwrap();
    let (owner, borrower, third) = (next(), next(), next());
    let now = Instant::now();
    owner.own().put(Arc::new(Room(0, 100)), carried("goes"), now);
    assert!(borrower.get(&reach(), &world(true, &[]), now).is_some());
    owner.own().sweep(&world(false, &[]), now);
    assert!(third.get(&reach(), &world(true, &[]), now).is_none());
    assert!(borrower.get(&reach(), &world(true, &[]), now).is_some(), "it has it still");
    assert!(borrower.get(&reach(), &world(true, &["goes"]), now).is_none());
    borrower.own().sweep(&world(true, &["goes"]), now);
    assert!(borrower.get(&reach(), &world(true, &[]), now).is_none());
}
