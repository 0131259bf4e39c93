//! A request is served by the rules of its own port and listener, or by nobody.

use std::net::SocketAddr;

use config::model::{AppProtocol, Kind, Name, ObjectRef, ServicePort};
use config::table::{
    Age, ClientAuth, Match, PathMatch, Place, Port, PortOwner, Rank, RoutingTable, RuleId,
    StreamRule, Timeouts,
};

use super::super::h1::RequestBuilder;
use super::*;
use crate::connection::first::Version;
use crate::snapshot::Snapshot;
use crate::worker::Worker;

const CONTAINER_PORT: u16 = 20_001;

fn name(text: &str) -> Name {
    Name::new("shop", text)
}

fn rule(route: &str) -> Arc<Rule> {
    Arc::new(Rule {
        id: RuleId { route: ObjectRef::new(Kind::HttpRoute, name(route)), index: 0, name: None },
        filters: Arc::default(),
        backends: Arc::default(),
        timeouts: Timeouts::default(),
    })
}

/// Virtual hosts with one route for all paths below `path`.
fn hosts(host: &str, path: &str, route: &str) -> Arc<VirtualHosts> {
    let matched = Arc::new(Match { path: PathMatch::prefix(path), ..Match::default() });
    let age = Age { created: 0, route: name(route) };
    let rank = Rank::new(age, 0, 0, &matched);
    let mut hosts = VirtualHosts::default();
    hosts.add_rule(Place { listener: host, host }, rank, matched, rule(route));
    Arc::new(hosts)
}

fn port(uid: &str, serves: PortServes) -> Arc<Port> {
    let owner = PortOwner { uid: uid.into(), port: 443 };
    Arc::new(Port { owner, name: name("edge"), serves })
}

fn snapshot(port: &Arc<Port>) -> Snapshot {
    let mut table = RoutingTable::default();
    table.ports.insert(CONTAINER_PORT, Arc::clone(port));
    Snapshot { table: Arc::new(table), ..Snapshot::default() }
}

fn call(port: &Arc<Port>, sni: Option<&str>) -> HttpConnection {
    HttpConnection {
        worker: Arc::new(Worker::default()),
        peer: SocketAddr::from(([192, 0, 2, 7], 50_000)),
        container_port: CONTAINER_PORT,
        port: Arc::clone(port),
        tls: sni.map(|sni| Tls { sni: Some(sni.into()), peer_chain: Arc::default() }),
        version: Version::Http1,
    }
}

fn head(host: &str, path: &str) -> RequestHead {
    RequestBuilder::new("GET", path, host).unwrap().finish(true).unwrap()
}

/// The name of the route that is found.
fn found(
    snapshot: &Snapshot,
    call: &HttpConnection,
    head: &RequestHead,
) -> Result<String, Failure> {
    find(call.port_in(snapshot), call, head).map(|found| match found {
        Found::Rule(rule) => rule.id.route.name.name.to_string(),
        Found::Mirrored(backend) => backend.to_string(),
    })
}

fn terminated(host: &str, route: &str, client_auth: ClientAuth) -> SniAction {
    SniAction::Terminate(Arc::new(TlsTermination {
        certificates: Arc::new([name("certificate")]),
        client_auth,
        hosts: hosts(host, "/", route),
    }))
}

fn tls(actions: Vec<(&str, SniAction)>) -> PortServes {
    let mut table = SniTable::default();
    for (host, action) in actions {
        table.actions.insert(host, Arc::new(action));
    }
    PortServes::Tls(Arc::new(table))
}

/// Two listeners on one port: one for `a.example`, one for all below `b.example`.
fn two_listeners() -> Arc<Port> {
    let for_a = terminated("a.example", "a", ClientAuth::NotAsked);
    let for_b = terminated("*.b.example", "b", ClientAuth::NotAsked);
    port("uid", tls(vec![("a.example", for_a), ("*.b.example", for_b)]))
}

#[test]
fn a_plain_port_serves_by_its_rules_whatever_the_case_of_the_host() {
    let port = port("uid", PortServes::Http(hosts("shop.example", "/cart", "cart")));
    let (snapshot, call) = (snapshot(&port), call(&port, None));
    assert_eq!(found(&snapshot, &call, &head("SHOP.example:80", "/cart/1")), Ok("cart".into()));
    assert_eq!(found(&snapshot, &call, &head("shop.example", "/")), Err(Failure::NoRoute));
    assert_eq!(found(&snapshot, &call, &head("other.example", "/cart")), Err(Failure::NoRoute));
}

#[test]
fn rules_are_those_of_now_not_of_when_the_connection_came() {
    let before = port("uid", PortServes::Http(hosts("*", "/", "old")));
    let now = port("uid", PortServes::Http(hosts("*", "/", "new")));
    assert_eq!(found(&snapshot(&now), &call(&before, None), &head("h", "/")), Ok("new".into()));
}

#[test]
fn a_port_that_was_given_to_somebody_else_has_no_route_for_an_old_connection() {
    let before = port("uid", PortServes::Http(hosts("*", "/", "mine")));
    let now = port("other", PortServes::Http(hosts("*", "/", "theirs")));
    let call = call(&before, None);
    assert_eq!(found(&snapshot(&now), &call, &head("h", "/")), Err(Failure::NoRoute));
    assert_eq!(found(&Snapshot::default(), &call, &head("h", "/")), Err(Failure::NoRoute));
}

#[test]
fn behind_tls_the_listener_of_the_sni_serves() {
    let port = two_listeners();
    let snapshot = snapshot(&port);
    let of_a = call(&port, Some("a.example"));
    let of_b = call(&port, Some("x.b.example"));
    assert_eq!(found(&snapshot, &of_a, &head("a.example", "/")), Ok("a".into()));
    assert_eq!(found(&snapshot, &of_b, &head("x.b.example", "/")), Ok("b".into()));
    // Another name of the same listener may use the connection.
    assert_eq!(found(&snapshot, &of_b, &head("y.b.example", "/")), Ok("b".into()));
}

#[test]
fn a_host_of_another_listener_is_misdirected() {
    let port = two_listeners();
    let snapshot = snapshot(&port);
    let of_a = call(&port, Some("a.example"));
    assert_eq!(found(&snapshot, &of_a, &head("x.b.example", "/")), Err(Failure::Misdirected));
    // A host that no listener has is not found; it is not misdirected either.
    assert_eq!(found(&snapshot, &of_a, &head("c.example", "/")), Err(Failure::NoRoute));
}

#[test]
fn a_connection_whose_name_nobody_ends_any_more_is_misdirected() {
    let before = two_listeners();
    let of_a = call(&before, Some("a.example"));
    let id = RuleId { route: ObjectRef::new(Kind::TlsRoute, name("t")), index: 0, name: None };
    let passed = SniAction::Passthrough(Arc::new(StreamRule { id, backends: Arc::default() }));
    for now in [tls(vec![]), tls(vec![("a.example", passed)])] {
        let snapshot = snapshot(&port("uid", now));
        assert_eq!(found(&snapshot, &of_a, &head("a.example", "/")), Err(Failure::Misdirected));
    }
}

#[test]
fn a_client_that_would_have_to_prove_itself_now_is_misdirected() {
    let before = two_listeners();
    let of_a = call(&before, Some("a.example"));
    let required = ClientAuth::Required(Arc::new([Arc::from(&b"ca"[..])]));
    let now = port("uid", tls(vec![("a.example", terminated("a.example", "a", required))]));
    assert_eq!(found(&snapshot(&now), &of_a, &head("a.example", "/")), Err(Failure::Misdirected));
}

#[test]
fn a_port_that_speaks_tls_now_serves_no_plain_connection_and_the_other_way_round() {
    let plain = port("uid", PortServes::Http(hosts("*", "/", "plain")));
    let with_tls = two_listeners();
    let misdirected = Err(Failure::Misdirected);
    let head = head("a.example", "/");
    assert_eq!(found(&snapshot(&with_tls), &call(&plain, None), &head), misdirected);
    let of_a = call(&with_tls, Some("a.example"));
    assert_eq!(found(&snapshot(&plain), &of_a, &head), misdirected);
}

#[test]
fn a_mirrored_port_without_routes_is_answered_by_what_it_stands_for() {
    let backend = BackendKey::Import(ServicePort { service: name("web"), port: 443 });
    let mirrored = |routes| {
        let (protocol, backend) = (AppProtocol::Http1, backend.clone());
        port("uid", PortServes::Mirrored(Arc::new(MirroredPort { protocol, backend, routes })))
    };
    let (free, ruled) = (mirrored(None), mirrored(Some(hosts("*", "/cart", "cart"))));
    let head = head("web.shop.svc", "/other");
    assert_eq!(found(&snapshot(&free), &call(&free, None), &head), Ok(backend.to_string()));
    // Once a route rules the calls, what no rule matches is not found.
    assert_eq!(found(&snapshot(&ruled), &call(&free, None), &head), Err(Failure::NoRoute));
}
