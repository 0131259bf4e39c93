//! How many calls are opened ahead, who gets them, and when they go.

use config::model::{Name, ServicePort};
use discovery::endpoint::{
    Endpoint as Known, EndpointId, EndpointSet, EndpointTable, LinkPeers, LinkTarget,
};

use super::*;
use crate::link::near::Carrier;

/// A call that says itself whether it is stale.
#[derive(Debug, PartialEq, Eq)]
struct Named(u16, bool);

impl Pooled for Named {
    fn is_stale(&mut self) -> bool {
        self.1
    }

    fn move_here(self) -> Option<Self> {
        Some(Self(self.0 + MOVED, self.1))
    }
}

/// Added to the number of a call that went to another worker than had opened it.
const MOVED: u16 = 1000;

fn web() -> Name {
    Name::new("shop", "web")
}

fn key() -> BackendKey {
    BackendKey::Import(ServicePort { service: web(), port: 80 })
}

fn reach(endpoint: &str) -> Reach {
    let endpoint = Some(EndpointId(endpoint.into()));
    Reach::Via(LinkTarget { link: "west".into(), service: web(), port: 80, endpoint })
}

fn origin(endpoint: &str) -> Origin {
    let carrier = Some(Carrier { link: "west".into(), instance: "one".into() });
    Origin::new(reach(endpoint), key(), carrier)
}

/// These endpoints are there, and these gateways of `west` drain.
fn world(endpoints: &[&str], draining: &[&str]) -> Snapshot {
    let known =
        |id: &&str| Arc::new(Known { id: EndpointId((*id).into()), reach: reach(id), zone: None });
    let endpoints = endpoints.iter().map(known).collect();
    let draining = draining.iter().map(|instance| Arc::from(*instance)).collect();
    let mut table = EndpointTable::default();
    table.sets.insert(&key(), Arc::new(EndpointSet { endpoints, ..EndpointSet::default() }));
    table.links.insert("west".into(), Arc::new(LinkPeers { draining, ..LinkPeers::default() }));
    Snapshot { endpoints: Arc::new(table), ..Snapshot::default() }
}

struct World {
    ahead: Ahead<Named>,
    snapshot: Snapshot,
    now: Instant,
}

impl World {
    fn new(most: usize) -> Self {
        Self {
            ahead: Ahead::new(most, Arc::default()),
            snapshot: world(&["a", "b"], &[]),
            now: Instant::now(),
        }
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
    }

    /// A request finds no idle connection; which call it gets.
    fn need(&self, endpoint: &str) -> Option<u16> {
        self.need_of(0, endpoint)
    }

    /// The same for a worker of several.
    fn need_of(&self, worker: usize, endpoint: &str) -> Option<u16> {
        let (reach, key) = (reach(endpoint), key());
        let taken = self.ahead.take((&reach, &key), &self.snapshot, worker, self.now);
        taken.map(|(Named(number, _), _)| number)
    }

    fn plan(&self) -> usize {
        self.plan_of(0)
    }

    fn plan_of(&self, worker: usize) -> usize {
        let plan = self.ahead.plan(&self.snapshot, worker, self.now);
        plan.iter().map(|to_open| to_open.count).sum()
    }

    fn opened(&self, number: u16, stale: bool) {
        let (connection, place) = (Named(number, stale), self.ahead.place().unwrap());
        let (origin, since) = (origin("a"), self.now);
        self.ahead.opened(Ready { connection, origin, by: 0, since, place });
    }

    fn waiting(&self) -> usize {
        self.ahead.waiting.load(Relaxed)
    }

    fn taken_places(&self) -> usize {
        self.ahead.places.0.load(Relaxed)
    }
}

#[test]
fn as_many_are_opened_as_were_needed_lately_and_never_more_than_the_most() {
    for (needed, opened) in [(0, 0), (1, 1), (3, 3), (4, 4), (50, 4)] {
        let world = World::new(4);
        for _ in 0..needed {
            assert_eq!(world.need("a"), None);
        }
        assert_eq!(world.plan(), opened, "{needed}");
        assert_eq!(world.plan(), 0, "those are on their way");
    }
}

#[test]
fn none_is_opened_for_an_endpoint_of_this_cluster_or_where_it_is_switched_off() {
    let world = World::new(0);
    world.need("a");
    assert_eq!(world.plan(), 0);
    let world = World::new(4);
    let direct = Reach::Direct(([192, 0, 2, 1], 80).into());
    assert!(world.ahead.take((&direct, &key()), &world.snapshot, 0, world.now).is_none());
    assert_eq!(world.plan(), 0);
}

#[test]
fn a_request_gets_a_call_to_its_endpoint_alone() {
    let world = World::new(4);
    world.need("a");
    world.plan();
    world.opened(1, false);
    assert_eq!(world.need("b"), None);
    assert_eq!(world.need("a"), Some(1));
    assert_eq!(world.need("a"), None);
    assert_eq!(world.taken_places(), 0, "its place is free");
}

#[test]
fn a_call_that_is_not_used_in_time_is_dropped_and_replaced_while_the_endpoint_is_called() {
    let mut world = World::new(4);
    world.need("a");
    world.plan();
    world.opened(1, false);
    world.later(READY_WAIT);
    assert_eq!(world.plan(), 1);
    assert_eq!(world.waiting(), 0);
    world.opened(2, false);
    world.later(LATELY.saturating_sub(READY_WAIT));
    assert_eq!(world.plan(), 0);
    assert_eq!(world.waiting(), 0, "it was not called lately");
    assert_eq!(world.taken_places(), 0);
}

#[test]
fn a_call_that_is_too_old_stale_or_leads_nowhere_is_not_given_out() {
    let give = |change: fn(&mut World), stale: bool| {
        let mut world = World::new(4);
        world.need("a");
        world.plan();
        world.opened(1, stale);
        change(&mut world);
        world.need("a")
    };
    assert_eq!(give(|_| {}, false), Some(1));
    assert_eq!(give(|_| {}, true), None);
    assert_eq!(give(|it| it.later(READY_WAIT), false), None);
    assert_eq!(give(|it| it.snapshot = world(&["b"], &[]), false), None);
    assert_eq!(give(|it| it.snapshot = world(&["a"], &["one"]), false), None);
}

#[test]
fn an_endpoint_that_fails_is_left_alone_until_it_is_needed_again() {
    let world = World::new(4);
    world.need("a");
    world.plan();
    world.ahead.failed(&reach("a"));
    assert_eq!(world.plan(), 0);
    world.need("a");
    assert_eq!(world.plan(), 1);
}

#[test]
fn workers_share_what_is_ready_and_the_one_in_need_last_opens_the_next() {
    let world = World::new(2);
    for worker in [0, 1, 2] {
        assert_eq!(world.need_of(worker, "a"), None);
    }
    assert_eq!([0, 1].map(|worker| world.plan_of(worker)), [0, 0]);
    assert_eq!(world.plan_of(2), 2, "no more for three workers than for one");
    world.opened(1, false);
    world.opened(2, false);
    assert_eq!(world.need_of(0, "a"), Some(2), "it lies where it was opened");
    assert_eq!(world.need_of(1, "a"), Some(1 + MOVED));
}

#[test]
fn the_places_of_a_process_are_limited() {
    let ahead = Ahead::<Named>::new(4, Arc::default());
    let mut taken: Vec<Place> = std::iter::from_fn(|| ahead.place()).collect();
    assert_eq!(taken.len(), READY_OF_PROCESS_MAX);
    taken.pop();
    assert!(ahead.place().is_some());
}
