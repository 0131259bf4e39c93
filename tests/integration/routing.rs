//! Rules and endpoints that change under load, and Gateways beside each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use config::table::{Filter, PortServes};
use gateway::settings::Settings;
use gateway::snapshot::Snapshot;
use support::client::{connect, get};
use support::cluster::{Cluster, HTTP, gateway, route, service, slices};
use support::endpoint::Echo;

#[tokio::test]
async fn two_gateways_with_the_same_port_and_host_do_not_mix() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let rule = |name: &str| {
        format!("hostnames: [same.example], rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]")
    };
    let yaml = gateway("one", HTTP)
        + &gateway("two", HTTP)
        + &route("a", "one", &rule("a"))
        + &route("b", "two", &rule("b"))
        + &service("a", "", &[a.address])
        + &service("b", "", &[b.address]);
    let cluster = Cluster::start("east", &yaml).await;
    let one = cluster.port("infra/one", 80).await;
    let two = cluster.port("infra/two", 80).await;
    assert_ne!(one, two);
    for _ in 0..3 {
        assert_eq!(get(one, "same.example", "/").await.body, "a");
        assert_eq!(get(two, "same.example", "/").await.body, "b");
    }
    cluster.end().await;
}

/// A rule that writes its number into every answer.
fn numbered(number: u64) -> String {
    route(
        "web",
        "gw",
        &format!(
            "rules: [{{filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-rule, value: '{number}'}}]}}}}], \
             backendRefs: [{{name: web, port: 80}}]}}]"
        ),
    )
}

/// The rule that stands: what it writes into every answer.
fn rule_of(now: &Snapshot) -> Option<u64> {
    let hosts = now.table.ports.values().find_map(|port| match &port.serves {
        PortServes::Http(hosts) => Some(hosts),
        PortServes::Tls(_) | PortServes::Mirrored(_) => None,
    })?;
    let rule = hosts.rules().into_iter().next()?;
    let set = rule.filters.iter().find_map(|filter| match filter {
        Filter::ResponseHeaders(edit) => edit.set().first(),
        Filter::RequestHeaders(_) => None,
    })?;
    set.1.to_str().ok()?.parse().ok()
}

/// Asks until `stop`; every answer must come from a rule that stood when it was asked for, or came
/// later.
async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>, oldest: Arc<AtomicU64>) -> u64 {
    let mut client = connect(address).await;
    let mut count = 0;
    while !stop.load(Relaxed) {
        let allowed = oldest.load(Relaxed);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, "ok"));
        let rule: u64 = answer.field("x-rule").and_then(|rule| rule.parse().ok()).expect("a rule");
        assert!(rule >= allowed, "rule {rule} answered, {allowed} was the oldest allowed");
        count += 1;
    }
    count
}

#[tokio::test]
async fn no_request_fails_or_meets_an_old_rule_while_200_changes_are_made() {
    let echo = Echo::start("ok").await;
    let cluster =
        Cluster::start("east", &(gateway("gw", HTTP) + &service("web", "", &[echo.address]))).await;
    cluster.write("route.yaml", &numbered(0));
    let address = cluster.port("infra/gw", 80).await;
    cluster.until("the first rule", |now| !now.table.backends().is_empty()).await;
    let (stop, oldest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(load(address, Arc::clone(&stop), Arc::clone(&oldest))))
        .collect();
    for number in 1..=200_u64 {
        cluster.write("route.yaml", &numbered(number));
        cluster.until("the next rule", |now| rule_of(now) == Some(number)).await;
        // From here on the rule before is withdrawn.
        oldest.store(number, Relaxed);
    }
    let last = get(address, "a", "/").await.field("x-rule").map(ToOwned::to_owned);
    assert_eq!(last.as_deref(), Some("200"));
    stop.store(true, Relaxed);
    let mut answers = 0;
    for client in clients {
        answers += client.await.expect("no answer was wrong");
    }
    assert!(answers > 200, "{answers}");
    cluster.end().await;
}

#[tokio::test]
async fn an_endpoint_change_compiles_no_route_and_its_endpoint_gets_no_more() {
    let (old, new) = (Echo::start("old").await, Echo::start("new").await);
    let yaml = gateway("gw", HTTP)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{name: main, port: 80}]}}\n";
    let cluster = Cluster::start("east", &yaml).await;
    cluster.write("slices.yaml", &slices("web", "", &[old.address]));
    let address = cluster.port("infra/gw", 80).await;
    let has = |address: std::net::SocketAddr| {
        let wanted = discovery::endpoint::Reach::Direct(address);
        move |now: &Snapshot| {
            now.endpoints
                .sets
                .iter()
                .any(|(_, set)| set.endpoints.len() == 1 && set.endpoints[0].reach == wanted)
        }
    };
    cluster.until("the old endpoint", has(old.address)).await;
    let mut client = connect(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "old");
    let before = cluster.snapshot().table.version;
    for _ in 0..20 {
        for endpoint in [old.address, new.address] {
            cluster.write("slices.yaml", &slices("web", "", &[endpoint]));
            cluster.until("the other endpoint", has(endpoint)).await;
        }
    }
    let after = cluster.snapshot().table.version;
    assert_eq!(after, before, "40 changes of endpoints compile no table");
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body, "new");
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_new_rule_appears_only_with_its_endpoints() {
    let (old, new) = (Echo::start("old").await, Echo::start("new").await);
    let rule = |name: &str| {
        route("web", "gw", &format!("rules: [{{backendRefs: [{{name: {name}, port: 80}}]}}]"))
    };
    let yaml = gateway("gw", HTTP) + &service("old", "", &[old.address]);
    // The table waits for longer than this test takes: only the slices let the rule appear.
    let patient = |settings: &mut Settings| settings.first_slices = 4 * support::wire::WAIT;
    let cluster = Cluster::start_with("east", &yaml, patient).await;
    cluster.write("route.yaml", &rule("old"));
    let address = cluster.port("infra/gw", 80).await;
    cluster.until("the first rule", |now| !now.table.backends().is_empty()).await;
    cluster.write("route.yaml", &rule("new"));
    cluster.write("new.yaml", "{apiVersion: v1, kind: Service, metadata: {name: new, namespace: shop}, spec: {ports: [{name: main, port: 80}]}}\n");
    for _ in 0..20 {
        let answer = get(address, "a", "/").await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, "old"));
    }
    cluster.write("slices.yaml", &slices("new", "", &[new.address]));
    let until = Instant::now() + support::wire::WAIT;
    loop {
        let answer = get(address, "a", "/").await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        if answer.body == "new" {
            break;
        }
        assert!(Instant::now() < until, "the new rule never came");
    }
    cluster.end().await;
}
