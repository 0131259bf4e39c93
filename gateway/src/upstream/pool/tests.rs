//! What a pool gives out, and what it lets go.

use config::model::{Name, ServicePort};
use discovery::endpoint::{Endpoint, EndpointId, EndpointSet, EndpointTable, LinkPeers};

use super::*;

/// A connection that says itself whether it is stale.
#[derive(Debug, PartialEq, Eq)]
struct Named(u16, bool);

impl Pooled for Named {
    fn is_stale(&mut self) -> bool {
        self.1
    }

    fn move_here(mut self) -> Option<Self> {
        (!self.is_stale()).then_some(self)
    }
}

fn reach(number: u16) -> Reach {
    Reach::Direct(([192, 0, 2, 1], number).into())
}

fn key() -> BackendKey {
    BackendKey::Service(ServicePort { service: Name::new("shop", "web"), port: 80 })
}

fn origin(number: u16) -> Box<Origin> {
    Box::new(Origin::new(reach(number), key(), None))
}

/// Carried by an instance of link `west`.
fn carried(number: u16, instance: &str) -> Box<Origin> {
    let carrier = Carrier { link: "west".into(), instance: instance.into() };
    Box::new(Origin::new(reach(number), key(), Some(carrier)))
}

/// These endpoints are there, and these gateways of `west` drain.
fn world(endpoints: &[u16], draining: &[&str]) -> Snapshot {
    let endpoint = |number: &u16| {
        Arc::new(Endpoint { id: EndpointId("e".into()), reach: reach(*number), zone: None })
    };
    let set = EndpointSet {
        endpoints: endpoints.iter().map(endpoint).collect(),
        ..EndpointSet::default()
    };
    let peers = LinkPeers {
        draining: draining.iter().map(|instance| Arc::from(*instance)).collect(),
        ..LinkPeers::default()
    };
    let mut table = EndpointTable::default();
    table.sets.insert(&key(), Arc::new(set));
    table.links.insert("west".into(), Arc::new(peers));
    Snapshot { endpoints: Arc::new(table), ..Snapshot::default() }
}

fn taken(pool: &Pool<Named>, snapshot: &Snapshot, now: Instant) -> Option<u16> {
    pool.take(&reach(1), snapshot, now, IDLE_WAIT).map(|(connection, _)| connection.0)
}

#[test]
fn the_connection_that_was_used_last_is_taken_first() {
    let (pool, now, world) = (Pool::default(), Instant::now(), world(&[1], &[]));
    pool.put(Named(1, false), origin(1), now);
    pool.put(Named(2, false), origin(1), now);
    assert_eq!(taken(&pool, &world, now), Some(2));
    assert_eq!(taken(&pool, &world, now), Some(1));
    assert_eq!(taken(&pool, &world, now), None);
    assert!(pool.is_empty());
}

#[test]
fn a_stale_connection_is_passed_over() {
    let (pool, now, world) = (Pool::default(), Instant::now(), world(&[1], &[]));
    pool.put(Named(1, false), origin(1), now);
    pool.put(Named(2, true), origin(1), now);
    assert_eq!(taken(&pool, &world, now), Some(1));
    assert_eq!(pool.len(), 0);
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_passed_over() {
    let (pool, now, world) = (Pool::default(), Instant::now(), world(&[1], &[]));
    pool.put(Named(1, false), origin(1), now);
    assert_eq!(taken(&pool, &world, now + IDLE_WAIT), None);
    assert!(pool.is_empty());
}

#[test]
fn what_may_not_be_sent_twice_gets_only_what_was_used_a_moment_ago() {
    let (pool, now, world) = (Pool::default(), Instant::now(), world(&[1], &[]));
    pool.put(Named(1, false), origin(1), now);
    let later = now + IDLE_WAIT_ONCE;
    assert!(pool.take(&reach(1), &world, later, IDLE_WAIT_ONCE).is_none());
    assert_eq!(taken(&pool, &world, later), Some(1), "others may still have it");
    pool.put(Named(2, false), origin(1), later);
    assert!(pool.take(&reach(1), &world, later, IDLE_WAIT_ONCE).is_some());
}

#[test]
fn a_connection_through_a_gateway_that_drains_is_left() {
    let (pool, now) = (Pool::default(), Instant::now());
    pool.put(Named(1, false), carried(1, "stays"), now);
    pool.put(Named(2, false), carried(1, "goes"), now);
    assert_eq!(taken(&pool, &world(&[1], &["goes"]), now), Some(1));
    assert!(pool.is_empty());
}

#[test]
fn a_sweep_drops_what_nobody_should_use() {
    let (pool, now) = (Pool::default(), Instant::now());
    pool.put(Named(1, true), origin(1), now);
    pool.put(Named(2, false), origin(2), now);
    pool.put(Named(3, false), carried(1, "goes"), now);
    pool.put(Named(4, false), origin(1), now);
    assert_eq!(pool.sweep(&world(&[1], &["goes"]), now, 10), 0);
    assert_eq!(pool.len(), 1);
    assert_eq!(taken(&pool, &world(&[1], &[]), now), Some(4));
    pool.put(Named(5, false), origin(1), now);
    assert_eq!(pool.sweep(&world(&[1], &[]), now + IDLE_WAIT, 10), 0);
    assert!(pool.is_empty());
}

#[test]
fn a_sweep_drops_no_more_at_once_than_it_is_told() {
    let (pool, now) = (Pool::default(), Instant::now());
    for number in 0..5 {
        pool.put(Named(number, true), origin(1), now);
    }
    pool.put(Named(5, false), origin(1), now);
    let lefts = [(); 3].map(|()| pool.sweep(&world(&[1], &[]), now, 2));
    assert_eq!(lefts, [3, 1, 0]);
    assert_eq!(pool.len(), 1, "the one that is good");
}

#[test]
fn a_pool_is_bounded_in_all_and_for_each_endpoint() {
    let (pool, now) = (Pool::default(), Instant::now());
    for number in 0..50 {
        pool.put(Named(number, false), origin(1), now);
    }
    assert_eq!(pool.len(), IDLE_PER_ENDPOINT_MAX);
    for number in 2..u16::try_from(IDLE_MAX).unwrap() + 50 {
        pool.put(Named(number, false), origin(number), now);
    }
    assert_eq!(pool.len(), IDLE_MAX);
}

/// The pools of two workers.
fn two() -> (Each<Pool<Named>>, Each<Pool<Named>>) {
    let mut both = Each::of(2);
    (both.next().unwrap(), both.next().unwrap())
}

/// What a worker gets for a request to endpoint 1 that may be sent twice.
fn got(of: &Each<Pool<Named>>, snapshot: &Snapshot, now: Instant) -> Option<u16> {
    of.take(&reach(1), snapshot, now, IDLE_WAIT).map(|(connection, _)| connection.0)
}

#[test]
fn a_worker_that_has_none_gets_the_one_that_rested_longest_with_another() {
    let ((mine, theirs), now, world) = (two(), Instant::now(), world(&[1], &[]));
    theirs.own().put(Named(1, false), origin(1), now);
    theirs.own().put(Named(2, false), origin(1), now + REST);
    let later = now + 2 * REST;
    assert_eq!(got(&mine, &world, later), Some(1));
    mine.own().put(Named(3, false), origin(1), later);
    assert_eq!(got(&mine, &world, later), Some(3), "its own before another's");
    assert_eq!(got(&theirs, &world, later), Some(2), "whose it was has the other one still");
}

#[test]
fn what_another_worker_used_a_moment_ago_stays_there() {
    let ((mine, theirs), now, world) = (two(), Instant::now(), world(&[1], &[]));
    theirs.own().put(Named(1, false), origin(1), now);
    assert_eq!(got(&mine, &world, now), None);
    assert_eq!(got(&theirs, &world, now), Some(1));
}

#[test]
fn what_would_not_be_given_to_its_own_worker_is_not_given_to_another() {
    let now = Instant::now();
    let give = |connection, origin, snapshot: &Snapshot, after, within| {
        let (mine, theirs) = two();
        theirs.own().put(connection, origin, now);
        mine.take(&reach(1), snapshot, now + after, within).is_some()
    };
    let (stands, drains) = (world(&[1], &[]), world(&[1], &["goes"]));
    assert!(give(Named(1, false), carried(1, "goes"), &stands, REST, IDLE_WAIT));
    assert!(!give(Named(1, false), carried(1, "goes"), &drains, REST, IDLE_WAIT));
    assert!(!give(Named(1, true), origin(1), &stands, REST, IDLE_WAIT), "stale");
    assert!(!give(Named(1, false), origin(2), &stands, REST, IDLE_WAIT), "to somebody else");
    assert!(!give(Named(1, false), origin(1), &stands, IDLE_WAIT, IDLE_WAIT));
    assert!(give(Named(1, false), origin(1), &stands, REST, IDLE_WAIT_ONCE));
    assert!(!give(Named(1, false), origin(1), &stands, IDLE_WAIT_ONCE, IDLE_WAIT_ONCE));
}

#[test]
fn nobody_waits_for_a_worker_that_looks_into_a_pool() {
    let ((mine, theirs), now, world) = (two(), Instant::now(), world(&[1], &[]));
    theirs.own().put(Named(1, false), origin(1), now);
    let looked_into = lock(&theirs.own().0);
    assert_eq!(got(&mine, &world, now + REST), None);
    assert_eq!(got(&theirs, &world, now + REST), None);
    drop(looked_into);
    assert_eq!(got(&mine, &world, now + REST), Some(1));
    assert!(theirs.own().is_empty());
}

#[test]
fn an_endpoint_is_looked_for_again_when_its_set_is_another() {
    let mut origin = origin(1);
    let there = world(&[1, 2], &[]);
    assert!(origin.is_live(&there) && origin.is_live(&there));
    assert!(!origin.is_live(&world(&[2], &[])));
    assert!(origin.is_live(&world(&[1], &[])));
    assert!(!origin.is_live(&Snapshot::default()), "nothing is known of its service");
}
