//! Who is kept, for how long, and for whom.

use config::model::{AppProtocol, BackendKey, ServicePort};
use config::table::{MirroredPort, PortOwner};

use super::*;
use crate::http::h1::Waits;

const SETTLE: Duration = Duration::from_secs(3);

fn web() -> Name {
    Name::new("shop", "web")
}

fn serves() -> PortServes {
    let backend = BackendKey::Mirror(ServicePort { service: web(), port: 80 });
    PortServes::Mirrored(Arc::new(MirroredPort {
        protocol: AppProtocol::Http1,
        backend,
        routes: None,
    }))
}

/// A table with the ports of these owners, all called `shop/web`.
fn table(ports: &[(u16, &str)], serves: &PortServes) -> RoutingTable {
    let port = |(number, uid): &(u16, &str)| {
        let owner = PortOwner { uid: (*uid).into(), port: 80 };
        (*number, Arc::new(Port { owner, name: web(), serves: serves.clone() }))
    };
    RoutingTable { ports: ports.iter().map(port).collect(), ..RoutingTable::default() }
}

/// What `shop/web` stands for.
fn mirrors(import: &str) -> OrdMap<Name, Mirrored> {
    OrdMap::unit(web(), Mirrored { import: Name::new("shop", import), link: None })
}

/// The port of `one` goes at the time that is returned, and `two` has what is `left`.
fn withdrawn(left: &[(u16, &str)]) -> (Withdrawals, Instant) {
    let at = Instant::now();
    let mut withdrawals = Withdrawals::new(SETTLE);
    let before = table(&[(20_000, "one")], &serves());
    withdrawals.note(&before, &table(left, &serves()), &mirrors("web"), at);
    (withdrawals, at)
}

fn accepting(withdrawals: &Withdrawals, ports: &[(u16, &str)]) -> Vec<(u16, String)> {
    let table = RoutingTable { withdrawn: withdrawals.ports(), ..table(ports, &serves()) };
    let numbers = table.ports_not_in(&RoutingTable::default()).into_iter();
    numbers.filter_map(|number| Some((number, table.accepts(number)?.uid.to_string()))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_port_accepts_for_a_while_answers_for_longer_and_is_forgotten() {
    let (mut withdrawals, at) = withdrawn(&[]);
    assert_eq!(withdrawals.next(), Some(at + SETTLE));
    assert!(!withdrawals.advance(at + SETTLE - Duration::from_millis(1)));
    assert_eq!(accepting(&withdrawals, &[]), [(20_000, "one".to_owned())]);
    assert!(withdrawals.advance(at + SETTLE));
    assert_eq!(accepting(&withdrawals, &[]), []);
    assert_eq!(withdrawals.ports().len(), 1);
    assert_eq!(withdrawals.next(), Some(at + KEPT));
    assert!(withdrawals.advance(at + KEPT));
    assert!(withdrawals.ports().is_empty());
    assert_eq!(withdrawals.next(), None);
}

#[test]
fn no_connection_may_be_idle_for_as_long_as_its_port_is_kept() {
    assert!(KEPT > Waits::default().idle + Waits::default().head);
    assert!(KEPT.as_secs() < discovery::ports::REST.as_secs().unsigned_abs());
}

#[test]
fn the_endpoints_of_a_mirrored_service_that_went_are_kept_with_it() {
    let (mut withdrawals, at) = withdrawn(&[]);
    assert_eq!(withdrawals.with(OrdMap::new()), mirrors("web"));
    withdrawals.advance(at + KEPT);
    assert_eq!(withdrawals.with(OrdMap::new()), OrdMap::new());
}

#[test]
fn a_name_that_stands_for_something_else_leads_no_old_client_there() {
    let (mut withdrawals, _) = withdrawn(&[(20_001, "two")]);
    assert_eq!(withdrawals.with(mirrors("web")), mirrors("web"));
    assert_eq!(withdrawals.ports().len(), 1, "it still means the same");
    assert_eq!(withdrawals.with(mirrors("other")), mirrors("other"));
    assert!(withdrawals.ports().is_empty());
}

#[test]
fn a_number_that_was_given_away_accepts_for_its_new_owner_and_answers_the_old_ones_clients() {
    let (withdrawals, _) = withdrawn(&[(20_000, "two")]);
    let next = [(20_000, "two")];
    assert_eq!(accepting(&withdrawals, &next), [(20_000, "two".to_owned())]);
    let table = RoutingTable { withdrawn: withdrawals.ports(), ..table(&next, &serves()) };
    let of = |uid: &str| {
        let port = table.port_of(20_000, &PortOwner { uid: uid.into(), port: 80 });
        port.map(|owned| (owned.port.owner.uid.to_string(), owned.stands))
    };
    assert_eq!(of("one"), Some(("one".to_owned(), false)));
    assert_eq!(of("two"), Some(("two".to_owned(), true)));
    assert_eq!(of("three"), None);
}

#[test]
fn an_owner_that_is_back_is_not_withdrawn_any_more() {
    let (mut withdrawals, at) = withdrawn(&[]);
    let back = table(&[(20_000, "one")], &serves());
    withdrawals.note(&table(&[], &serves()), &back, &OrdMap::new(), at);
    assert!(withdrawals.ports().is_empty());
}

#[test]
fn a_gateway_that_its_owner_removes_serves_nobody_any_more() {
    let mut withdrawals = Withdrawals::new(SETTLE);
    let before = table(&[(20_000, "one")], &PortServes::Http(Arc::default()));
    withdrawals.note(&before, &table(&[], &serves()), &OrdMap::new(), Instant::now());
    assert!(withdrawals.ports().is_empty());
}
