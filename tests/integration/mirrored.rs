//! The port of a mirrored Service: whatever protocol its clients speak, and whoever owns it.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use support::client::{connect, connect_tls};
use support::cluster::{Cluster, eventually, export, service};
use support::endpoint::{Echo, Endpoint};
use support::http2::{Client, body, head, next, serve};
use support::wire::{Ending, Wire};

/// `east` mirrors `shop/web` of `west`.
async fn mirror(port: &str, endpoint: SocketAddr, more: &str) -> (Cluster, Cluster, SocketAddr) {
    mirror_settling(Duration::from_millis(50), port, endpoint, more).await
}

/// The same; a port whose owner went accepts for `settle`.
async fn mirror_settling(
    settle: Duration,
    port: &str,
    endpoint: SocketAddr,
    more: &str,
) -> (Cluster, Cluster, SocketAddr) {
    let yaml = service("web", port, &[endpoint]) + &export("web");
    let west = Cluster::start("west", &yaml).await;
    let east = Cluster::start_with("east", more, |it| it.drain.settle = settle).await;
    east.write("link.yaml", &west.link("  import: {rules: [{name: '{service}'}]}\n"));
    west.write("link.yaml", &east.link(""));
    east.linked("west").await;
    let address = east.port("shop/web", 80).await;
    (east, west, address)
}

#[tokio::test]
async fn connections_are_counted_by_kind_while_they_are_open() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror(", appProtocol: tcp", endpoint.address, "").await;
    let open = |cluster: &Cluster, kind: &str| {
        let text = cluster.views().metrics.text(0).expect("metrics are text");
        let line = format!("spanway_connections{{kind=\"{kind}\"}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0_u64)
    };
    let catalogs = open(&west, "link");
    let mut client = connect(address).await;
    client.send("hello").await;
    let mut server = endpoint.accept().await;
    server.exactly(5).await;
    assert_eq!((open(&east, "mirrored"), open(&east, "ingress")), (1, 0));
    assert_eq!(open(&west, "link"), catalogs + 1, "the call beside the catalogs");
    client.end().await;
    server.end().await;
    let closed = || open(&east, "mirrored") == 0 && open(&west, "link") == catalogs;
    eventually("both are closed", closed).await;
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror("", endpoint.address, "").await;
    let mut client = connect(address).await;
    let mut server = endpoint.accept().await;
    server.send("220 mail ready\r\n").await;
    assert_eq!(client.until("\r\n").await, "220 mail ready\r\n");
    client.send("HELO a\r\n").await;
    assert_eq!(server.until("\r\n").await, "HELO a\r\n");
    server.end().await;
    assert_eq!(client.rest().await, (String::new(), Ending::Clean));
    client.end().await;
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_client_that_waits_and_then_speaks_http_is_balanced_by_request() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror("", endpoint.address, "").await;
    let mut client = connect(address).await;
    // The endpoint was dialled, so the wait is over.
    let mut dialled = endpoint.accept().await;
    client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    let head = server.head().await;
    assert!(head.starts_with("GET /late ") && head.contains("x-request-id: "), "{head}");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.body, "ok");
    assert_eq!(dialled.rest().await.0, "", "nothing was said to the one dialled first");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_client_that_ends_its_direction_gets_what_the_server_still_says() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror("", endpoint.address, "").await;
    let mut client = connect(address).await;
    client.send("\x01\x02 not http").await;
    client.end().await;
    let mut server = endpoint.accept().await;
    assert_eq!(server.rest().await, ("\x01\x02 not http".to_owned(), Ending::Clean));
    server.send("still here").await;
    server.end().await;
    assert_eq!(client.rest().await, ("still here".to_owned(), Ending::Clean));
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn tls_of_the_client_goes_to_the_endpoint_as_it_is() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror("", endpoint.address, "").await;
    let client = tokio::spawn(async move {
        let tls = support::client::Tls { name: "secret.example", ..Default::default() };
        connect_tls(address, tls).await.map(drop)
    });
    let mut server = endpoint.accept().await;
    let hello = server.exactly(5).await;
    assert_eq!(hello.as_bytes().first(), Some(&0x16), "a TLS handshake record");
    server.reset();
    assert!(client.await.expect("no panic").is_err());
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_port_that_the_exporter_calls_http_never_falls_back_to_copying() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror(", appProtocol: http", endpoint.address, "").await;
    let mut client = connect(address).await;
    client.send("\x16\x03\x01 hello, this is not HTTP at all\r\n\r\n").await;
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    endpoint.left_alone().await;
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_port_with_a_rule_never_falls_back_to_copying() {
    let rule = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: \
        {parentRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: web}], rules: \
        [{matches: [{path: {value: /ok}}], backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80}]}]}}";
    let echo = Echo::start("from west").await;
    let (east, west, address) = mirror("", echo.address, rule).await;
    let ruled = || {
        let snapshot = east.snapshot();
        snapshot.table.ports.values().any(|port| {
            port.name.to_string() == "shop/web"
                && matches!(&port.serves, config::table::PortServes::Mirrored(it) if it.routes.is_some())
        })
    };
    eventually("the port has a rule", ruled).await;
    let mut client = connect(address).await;
    client.send("\x16\x03\x01 hello, this is not HTTP at all\r\n\r\n").await;
    let (answer, _) = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(support::client::get(address, "web", "/ok").await.body, "from west");
    assert_eq!(support::client::get(address, "web", "/none").await.status(), 404);
    east.end().await;
    west.end().await;
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Its user writes a Service of the same name, and the gateway has heard of it.
async fn take_over(east: &Cluster) {
    east.write("users.yaml", &service("web", "", &[]));
    let ours = |it: &config::table::Port| it.name.to_string() == "shop/web";
    east.until("the mirrored port is nobody's", |now| {
        !now.table.ports.values().any(|port| ours(port))
    })
    .await;
}

/// Sends a request and reads its answer: from `west`, and the last on this connection.
async fn told_to_go(client: &mut Wire) {
    client.send(GET).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, "from west"), "{}", answer.head);
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(client.rest().await, (String::new(), Ending::Clean));
}

#[tokio::test]
async fn who_calls_a_service_that_its_user_takes_over_loses_no_request_and_is_told_to_go() {
    let echo = Echo::start("from west").await;
    let settle = Duration::from_secs(2);
    let (east, west, address) = mirror_settling(settle, "", echo.address, "").await;
    let (mut early, mut late) = (connect(address).await, connect(address).await);
    for client in [&mut early, &mut late] {
        client.send(GET).await;
        let answer = client.answer().await;
        assert_eq!((answer.body.as_str(), answer.field("connection")), ("from west", None));
    }
    take_over(&east).await;
    told_to_go(&mut early).await;
    // kube-proxy may still send clients here, which know nothing.
    told_to_go(&mut connect(address).await).await;
    let refused = || std::net::TcpStream::connect(address).is_err();
    eventually("nobody listens", refused).await;
    told_to_go(&mut late).await;
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_request_under_way_as_its_service_is_taken_over_finishes() {
    let endpoint = Endpoint::start().await;
    let (east, west, address) = mirror("", endpoint.address, "").await;
    let mut client = connect(address).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    take_over(&east).await;
    client.send("cd").await;
    assert_eq!(server.exactly(4).await, "abcd");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.body, "ok");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn an_http2_client_of_a_service_that_is_taken_over_is_answered_and_gets_goaway() {
    let endpoint = Endpoint::start().await;
    let h2c = ", appProtocol: kubernetes.io/h2c";
    let (east, west, address) = mirror(h2c, endpoint.address, "").await;
    let client = Client::start(connect(address).await.io).await;
    let request = || Request::get("http://a.example/").body(()).expect("sound");
    let (first, _) = client.request(request(), true).await;
    let mut requests = serve(endpoint.accept().await.io);
    let mut answer_one = async || {
        let (_, mut respond) = next(&mut requests).await;
        respond.send_response(http::Response::new(()), true).expect("a stream that is open");
    };
    answer_one().await;
    let answer = head(first).await.expect("an answer");
    body(answer.into_body()).await.expect("whole");
    take_over(&east).await;
    let (second, _) = client.request(request(), true).await;
    answer_one().await;
    assert_eq!(head(second).await.expect("an answer").status(), 200);
    let ended = tokio::time::timeout(support::wire::WAIT, client.ended).await;
    ended.expect("the connection is ended").expect("no panic").expect("in order");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn who_calls_a_service_whose_export_goes_hears_that_nobody_answers() {
    let echo = Echo::start("from west").await;
    let (east, west, address) = mirror("", echo.address, "").await;
    let mut client = connect(address).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.body, "from west");
    west.write("objects.yaml", &service("web", "", &[echo.address]));
    east.until("no mirrored port", |now| now.table.ports.is_empty()).await;
    client.send(GET).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("connection")), (503, Some("close")));
    assert_eq!(client.rest().await, (String::new(), Ending::Clean));
    east.end().await;
    west.end().await;
}
