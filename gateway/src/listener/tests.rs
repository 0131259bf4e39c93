//! Sockets as the table wants them.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use config::model::Name;
use config::table::{Port, PortServes};
use tokio::sync::mpsc;

use super::*;
use crate::drain::Drain;
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;
use crate::worker::Worker;

const WAIT: Duration = Duration::from_secs(10);

/// Tells for whom connections were accepted, and holds them.
struct Tells(mpsc::UnboundedSender<(String, Accepted)>);

impl Handler for Tells {
    async fn handle(self: Arc<Self>, _: Arc<Worker>, accepted: Accepted) {
        let owner = match &accepted.role {
            Role::Link => "link".to_owned(),
            Role::Port(port) => port.owner.uid.to_string(),
        };
        self.0.send((owner, accepted)).unwrap();
    }
}

struct World {
    listeners: Listeners<Tells>,
    published: Arc<Published>,
    told: mpsc::UnboundedReceiver<(String, Accepted)>,
    drain: Drain,
}

fn world() -> World {
    let published = Arc::new(Published::default());
    let workers = Arc::new(Workers::start((1, 0), &published, &Metrics::new().unwrap()).unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    let drain = Drain::default();
    let settings = Settings {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        link_port: None,
        ..Settings::default()
    };
    let handler = Arc::new(Tells(tell));
    let listeners =
        Listeners::new(settings, workers, Arc::clone(&published), handler, drain.watch());
    World { listeners, published, told, drain }
}

/// A port that the system holds to be free.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl World {
    /// Publishes and binds these ports.
    fn sync(&mut self, ports: &[(u16, &str)]) -> BindReport {
        let port = |(number, uid): &(u16, &str)| {
            let owner = PortOwner { uid: (*uid).into(), port: 80 };
            let serves = PortServes::Http(Arc::default());
            (*number, Arc::new(Port { owner, name: Name::new("infra", uid), serves }))
        };
        let table = Arc::new(RoutingTable {
            ports: ports.iter().map(port).collect(),
            version: 1,
            ..RoutingTable::default()
        });
        let snapshot = Snapshot { table: Arc::clone(&table), ..Snapshot::default() };
        drop(self.published.swap(Arc::new(snapshot)));
        self.listeners.sync(&table).clone()
    }

    fn next(&mut self) -> (String, Accepted) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let told = async { tokio::time::timeout(WAIT, self.told.recv()).await };
        runtime.block_on(told).unwrap().unwrap()
    }
}

fn connect(port: u16) -> TcpStream {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap()
}

fn refuses(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err()
}

fn eventually(mut holds: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + WAIT;
    while !holds() {
        assert!(std::time::Instant::now() < until, "never");
        std::thread::yield_now();
    }
}

#[test]
fn the_port_of_a_connection_says_whose_it_is() {
    let mut world = world();
    let (one, two) = (free(), free());
    let report = world.sync(&[(one, "one"), (two, "two")]);
    assert!(report.bound.len() == 2 && report.is_complete(), "{report:?}");
    let _clients = [connect(two)];
    assert_eq!(world.next().0, "two");
    let _clients = [connect(one)];
    assert_eq!(world.next().0, "one");
}

#[test]
fn a_busy_port_takes_no_turn_of_another() {
    let mut world = world();
    let (busy, other) = (free(), free());
    world.sync(&[(busy, "busy"), (other, "other")]);
    let clients: Vec<_> = (0..200).map(|_| connect(busy)).chain([connect(other)]).collect();
    let owners: Vec<_> = clients.iter().map(|_| world.next()).collect();
    assert_eq!(owners.iter().filter(|(owner, _)| owner == "busy").count(), 200);
    assert_eq!(owners.iter().filter(|(owner, _)| owner == "other").count(), 1);
}

#[test]
fn a_port_that_serves_something_else_is_not_bound_anew() {
    let mut world = world();
    let port = free();
    world.sync(&[(port, "one")]);
    let waiting = connect(port);
    // Another table, with the same owner: a socket that was closed would refuse for a moment.
    let report = world.sync(&[(port, "one"), (free(), "two")]);
    assert!(report.is_complete(), "{report:?}");
    let _clients = [waiting, connect(port)];
    assert_eq!((world.next().0, world.next().0), ("one".to_owned(), "one".to_owned()));
}

#[test]
fn a_port_that_is_taken_is_a_report_and_is_tried_again() {
    let mut world = world();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let report = world.sync(&[(port, "one")]);
    assert!(report.bound.is_empty() && report.failed.len() == 1, "{report:?}");
    drop(taken);
    let report = world.sync(&[(port, "one")]);
    assert!(report.bound.len() == 1 && report.is_complete(), "{report:?}");
    let _client = connect(port);
    assert_eq!(world.next().0, "one");
}

#[test]
fn a_port_that_is_not_wanted_any_more_accepts_no_more_and_its_connections_stay() {
    let mut world = world();
    let port = free();
    world.sync(&[(port, "one")]);
    let mut client = connect(port);
    let (owner, accepted) = world.next();
    assert_eq!(owner, "one");
    assert!(world.sync(&[]).is_empty());
    eventually(|| refuses(port));
    let Role::Port(kept) = &accepted.role else { panic!("a port") };
    assert_eq!(&*kept.owner.uid, "one");
    drop(accepted);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_port_with_another_owner_is_another_listener() {
    let mut world = world();
    let port = free();
    world.sync(&[(port, "one")]);
    let _client = connect(port);
    let (_, kept) = world.next();
    eventually(|| {
        let report = world.sync(&[(port, "two")]);
        report.bound.len() == 1 && report.is_complete()
    });
    let _client = connect(port);
    assert_eq!(world.next().0, "two");
    let Role::Port(kept) = &kept.role else { panic!("a port") };
    assert_eq!(&*kept.owner.uid, "one", "a connection keeps whom it was accepted for");
}

#[test]
fn a_gateway_that_drains_accepts_no_more() {
    let mut world = world();
    let port = free();
    world.sync(&[(port, "one")]);
    world.drain.advance(crate::drain::Phase::Leaving);
    let _client = connect(port);
    assert_eq!(world.next().0, "one");
    world.drain.advance(crate::drain::Phase::Draining);
    eventually(|| refuses(port));
}
