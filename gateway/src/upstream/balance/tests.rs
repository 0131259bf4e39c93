//! Which endpoint a request gets.

use config::model::Name;
use discovery::endpoint::{EndpointId, LinkTarget};

use super::*;

fn direct(number: u16) -> Reach {
    Reach::Direct(([192, 0, 2, 1], number).into())
}

fn via(link: &str) -> Reach {
    Reach::Via(LinkTarget {
        link: link.into(),
        service: Name::new("shop", "web"),
        port: 80,
        endpoint: None,
    })
}

fn world(reaches: &[Reach]) -> (Worker, Arc<EndpointSet>) {
    let endpoint = |reach: &Reach| {
        Arc::new(Endpoint { id: EndpointId("e".into()), reach: reach.clone(), zone: None })
    };
    let set =
        EndpointSet { endpoints: reaches.iter().map(endpoint).collect(), ..EndpointSet::default() };
    (Worker::default(), Arc::new(set))
}

fn chosen(worker: &Worker, set: &Arc<EndpointSet>, tried: &[Reach]) -> Reach {
    choose(worker, set, tried, Instant::now()).unwrap().endpoint.reach.clone()
}

#[test]
fn of_two_the_one_with_less_to_do_is_chosen() {
    let (worker, set) = world(&[direct(1), direct(2)]);
    let busy = worker.loads().of(&direct(1), worker.loads().moment(Instant::now()));
    let _under_way = [InFlight::begin(Arc::clone(&busy)), InFlight::begin(busy)];
    for _ in 0..50 {
        assert_eq!(chosen(&worker, &set, &[]), direct(2));
    }
}

#[test]
fn all_of_them_get_requests_while_nobody_is_busier() {
    let reaches = [direct(1), direct(2), direct(3)];
    let (worker, set) = world(&reaches);
    let held: Vec<_> =
        (0..60).map(|_| choose(&worker, &set, &[], Instant::now()).unwrap()).collect();
    for reach in &reaches {
        let count = held.iter().filter(|chosen| chosen.endpoint.reach == *reach).count();
        assert!((10..=30).contains(&count), "{reach:?}: {count}");
    }
}

#[test]
fn who_failed_lately_is_left_alone_while_there_is_another() {
    let (worker, set) = world(&[direct(1), direct(2)]);
    worker.shared().endpoints.failed(&direct(1), Instant::now(), 0);
    for _ in 0..50 {
        assert_eq!(chosen(&worker, &set, &[]), direct(2));
    }
    worker.shared().endpoints.failed(&direct(2), Instant::now(), 0);
    chosen(&worker, &set, &[]);
}

#[test]
fn the_endpoints_of_a_link_that_failed_are_left_alone() {
    let (worker, set) = world(&[via("west"), direct(1)]);
    worker.shared().links.failed(&"west".into(), Instant::now(), 0);
    for _ in 0..50 {
        assert_eq!(chosen(&worker, &set, &[]), direct(1));
    }
}

#[test]
fn who_failed_this_request_is_tried_again_only_when_nobody_else_is_there() {
    let (worker, set) = world(&[direct(1), direct(2)]);
    worker.shared().endpoints.failed(&direct(2), Instant::now(), 0);
    assert_eq!(chosen(&worker, &set, &[direct(1)]), direct(2));
    chosen(&worker, &set, &[direct(1), direct(2)]);
}

#[test]
fn nobody_is_chosen_of_none() {
    let (worker, set) = world(&[]);
    assert_eq!(choose(&worker, &set, &[], Instant::now()).unwrap_err(), Failure::NoEndpoint);
}
