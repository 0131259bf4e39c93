//! The port of a mirrored Service: whatever protocol its clients speak.

use std::net::SocketAddr;

use support::client::{connect, connect_tls};
use support::cluster::{Cluster, eventually, export, service};
use support::endpoint::{Echo, Endpoint};
use support::wire::Ending;

/// `east` mirrors `shop/web` of `west`.
async fn mirror(port: &str, endpoint: SocketAddr, more: &str) -> (Cluster, Cluster, SocketAddr) {
    let yaml = service("web", port, &[endpoint]) + &export("web");
    let west = Cluster::start("west", &yaml).await;
    let east = Cluster::start("east", more).await;
    east.write("link.yaml", &west.link("  import: {rules: [{name: '{service}'}]}\n"));
    west.write("link.yaml", &east.link(""));
    east.linked("west").await;
    let address = east.port("shop/web", 80).await;
    (east, west, address)
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
