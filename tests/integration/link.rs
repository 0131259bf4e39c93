//! Two clusters and a link: what a client in `east` gets of a service that only `west` runs.

use std::net::SocketAddr;

use gateway::link::hello::RefusedCode;
use support::client::{connect, get};
use support::cluster::{Cluster, HTTP, eventually, export, gateway, link, route, service};
use support::endpoint::{Echo, Endpoint};
use support::wire::{Ending, field, status};

const MIRROR: &str = "  import: {rules: [{name: '{service}'}]}\n";

/// A `ClusterLink` in each of the two to the other.
async fn join(east: &Cluster, west: &Cluster) {
    east.write("link.yaml", &west.link(MIRROR));
    west.write("link.yaml", &east.link(""));
    east.linked("west").await;
    west.linked("east").await;
}

/// A port that says what is spoken on it: a client that is slow to send its request is waited for, and
/// the endpoint is not dialled meanwhile.
const SAYS_HTTP: &str = ", appProtocol: http";

/// `west` runs and exports `shop/web` with these endpoints; both are linked.
async fn pair(port: &str, endpoints: &[SocketAddr], east: &str) -> (Cluster, Cluster) {
    let west = Cluster::start("west", &(service("web", port, endpoints) + &export("web"))).await;
    let east = Cluster::start("east", east).await;
    join(&east, &west).await;
    (east, west)
}

/// An import as the backend of a Gateway's rule.
fn by_import() -> String {
    gateway("gw", HTTP)
        + &route(
            "web",
            "gw",
            "rules: [{backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80}]}]",
        )
}

#[tokio::test]
async fn a_service_of_west_answers_in_east_under_its_own_name_and_through_a_gateway() {
    let echo = Echo::start("from west").await;
    let (east, west) = pair("", &[echo.address], &by_import()).await;
    let mirrored = east.port("shop/web", 80).await;
    assert_eq!(get(mirrored, "web.shop.svc", "/").await.body, "from west");
    let gateway = east.port("infra/gw", 80).await;
    assert_eq!(get(gateway, "shop.example", "/").await.body, "from west");
    let mut client = connect(mirrored).await;
    for _ in 0..5 {
        client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi").await;
        assert_eq!(client.answer().await.body, "from west");
    }
    let seen = echo.seen().concat();
    let seen = String::from_utf8_lossy(&seen);
    assert!(!seen.contains("x-forwarded-host: web"), "nobody is between: {seen}");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn an_answer_of_west_that_is_reset_never_ends_clean_in_east() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair(SAYS_HTTP, &[endpoint.address], "").await;
    let address = east.port("shop/web", 80).await;
    let mut client = connect(address).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(client.exactly(4).await, "half");
    server.reset();
    assert_eq!(client.rest().await, (String::new(), Ending::Abort));
    let mut client = connect(address).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\n\r\nall of it").await;
    server.end().await;
    client.head().await;
    assert_eq!(client.rest().await, ("all of it".to_owned(), Ending::Clean));
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn an_answer_through_a_gateway_that_dies_never_ends_clean() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair(SAYS_HTTP, &[endpoint.address], "").await;
    let mut client = connect(east.port("shop/web", 80).await).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    client.head().await;
    assert_eq!(client.exactly(4).await, "half");
    west.end().await;
    assert_eq!(client.rest().await, (String::new(), Ending::Abort));
    assert_eq!(server.rest().await.1, Ending::Abort);
    east.end().await;
}

#[tokio::test]
async fn what_is_not_exported_is_refused_although_it_is_asked_for() {
    use discovery::endpoint::LinkTarget;
    use gateway::link::hello::Hello;
    use gateway::link::near::{CallFailed, call};
    use gateway::upstream::state::Shared;

    let echo = Echo::start("secret").await;
    let more = service("hidden", "", &[echo.address]);
    let west =
        Cluster::start("west", &(service("web", "", &[echo.address]) + &export("web") + &more))
            .await;
    let east = Cluster::start("east", "").await;
    join(&east, &west).await;
    let ask = async |service: &str| {
        let sni = format!("80.{service}.shop.svc.clusterset.local");
        let target = LinkTarget::parse(&"west".into(), &sni).expect("a name for a link");
        call(&Shared::default(), &east.snapshot(), &target, &Hello::default()).await
    };
    assert!(ask("web").await.is_ok());
    for service in ["hidden", "none"] {
        match ask(service).await {
            Err(CallFailed::Refused { refusal, .. }) => {
                assert_eq!(refusal.code, RefusedCode::NotExported, "{service}");
            }
            other => panic!("{service}: {other:?}"),
        }
    }
    west.write("objects.yaml", &(service("web", "", &[echo.address]) + &more));
    west.until("the export is gone", |now| {
        now.offers.values().all(|offer| offer.catalog.services.is_empty())
    })
    .await;
    assert!(matches!(ask("web").await, Err(CallFailed::Refused { .. })));
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_gateway_with_another_authority_gets_no_catalog_and_no_call() {
    let echo = Echo::start("from west").await;
    let west =
        Cluster::start("west", &(service("web", "", &[echo.address]) + &export("web"))).await;
    let east = Cluster::start("east", "").await;
    // The same name and trust domain as `east`, and an authority of its own.
    let other = Cluster::start("east", "").await;
    join(&east, &west).await;
    other.write("link.yaml", &west.link(MIRROR));
    let refused = || {
        let text = west.views().metrics.text(0).expect("metrics are text");
        text.lines().any(|line| {
            line.contains("refused") && line.contains("link=\"east\"") && !line.ends_with(" 0")
        })
    };
    eventually("a refusal is counted", refused).await;
    assert!(!other.views().derived.borrow().known.values().any(|link| link.state.received));
    assert!(other.snapshot().table.ports.is_empty());
    for cluster in [east, other, west] {
        cluster.end().await;
    }
}

#[tokio::test]
async fn a_far_gateway_with_another_authority_is_not_believed() {
    let west = Cluster::start("west", "").await;
    let east = Cluster::start("east", "").await;
    west.write("link.yaml", &east.link(""));
    // The address is that of `west`, the bundle is not.
    east.write("link.yaml", &link("west", &west.address.to_string(), &east.bundle(), ""));
    let derived = east.views().derived.clone();
    let problem = || {
        let derived = derived.borrow();
        derived.known.get("west").is_some_and(|link| link.state.problem.is_some())
    };
    eventually("the link has a problem", problem).await;
    assert!(!derived.borrow().known["west"].state.received);
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn connections_through_a_gateway_that_drains_are_left() {
    let echo = Echo::start("from west").await;
    let yaml = service("web", "", &[echo.address]) + &export("web");
    let west = Cluster::start("west", &yaml).await;
    let east = Cluster::start("east", "").await;
    join(&east, &west).await;
    let mut client = connect(east.port("shop/web", 80).await).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.body, "from west");
    // It is the only one, and must not be gone before the last request below.
    let (settled, asked) = tokio::sync::oneshot::channel();
    let leaving = tokio::spawn(west.app.leave_once(async { drop(asked.await) }));
    east.until("the gateway of west drains", |now| {
        now.endpoints
            .links
            .get("west")
            .is_some_and(|peers| peers.draining.contains("west-instance"))
    })
    .await;
    // It still takes what comes, each on a connection of its own.
    for number in 2..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, "from west"));
        assert_eq!(echo.connections(), number);
    }
    settled.send(()).expect("it waits for it");
    assert_eq!(leaving.await.expect("it leaves"), 0, "nothing had to be broken off");
    east.end().await;
}

#[tokio::test]
async fn an_export_that_goes_takes_the_mirrored_service_with_it_and_brings_it_back() {
    let echo = Echo::start("from west").await;
    let (east, west) = pair("", &[echo.address], "").await;
    assert_eq!(get(east.port("shop/web", 80).await, "a", "/").await.body, "from west");
    west.write("objects.yaml", &service("web", "", &[echo.address]));
    east.until("no mirrored port", |now| now.table.ports.is_empty()).await;
    west.write("objects.yaml", &(service("web", "", &[echo.address]) + &export("web")));
    assert_eq!(get(east.port("shop/web", 80).await, "a", "/").await.body, "from west");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn an_upgrade_reaches_west_and_bytes_behind_it_wait_for_the_answer() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair("", &[endpoint.address], &by_import()).await;
    for address in [east.port("shop/web", 80).await, east.port("infra/gw", 80).await] {
        let mut client = connect(address).await;
        client
            .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nahead")
            .await;
        let mut server = endpoint.accept().await;
        let head = server.head().await;
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        server.silent().await;
        server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfrom server").await;
        assert_eq!(status(&client.head().await), 101);
        assert_eq!(client.exactly(11).await, "from server");
        assert_eq!(server.exactly(5).await, "ahead");
        client.send("more").await;
        assert_eq!(server.exactly(4).await, "more");
        server.send("and back").await;
        assert_eq!(client.exactly(8).await, "and back");
        server.end().await;
        client.end().await;
        assert_eq!(client.rest().await, (String::new(), Ending::Clean));
    }
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn an_upgrade_that_is_refused_leaves_the_connection_to_http() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair("", &[endpoint.address], "").await;
    let mut client = connect(east.port("shop/web", 80).await).await;
    client
        .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut server = endpoint.accept().await;
    assert!(server.head().await.starts_with("GET /chat "));
    server.silent().await;
    server.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(client.answer().await.status(), 403);
    assert!(server.head().await.starts_with("GET /next "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.body, "ok");
    east.end().await;
    west.end().await;
}
