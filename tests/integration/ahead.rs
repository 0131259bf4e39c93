//! Connections over a link that are there before a request needs them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use gateway::link::ahead::LATELY;
use support::client::connect;
use support::cluster::{Cluster, eventually, export, service};
use support::endpoint::{Echo, Endpoint};
use support::wire::Ending;

/// By then a worker has looked what is to be opened, which it does each second.
const LOOKS: Duration = Duration::from_millis(1500);
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// `east` mirrors `shop/web` of `west` and has up to four connections for an endpoint ready.
async fn pair(port: &str, endpoint: SocketAddr) -> (Cluster, Cluster) {
    pair_with(1, port, endpoint).await
}

/// The same with so many workers in `east`.
async fn pair_with(workers: usize, port: &str, endpoint: SocketAddr) -> (Cluster, Cluster) {
    let yaml = service("web", port, &[endpoint]) + &export("web");
    let west = Cluster::start("west", &yaml).await;
    let east = Cluster::start_with("east", "", |settings| {
        settings.workers = workers;
        settings.ready = 4;
    })
    .await;
    east.write("link.yaml", &west.link("  import: {rules: [{name: '{service}'}]}\n"));
    west.write("link.yaml", &east.link(""));
    east.linked("west").await;
    (east, west)
}

/// Waits until so many calls can be taken: the endpoint hears of one before the near gateway does.
async fn are_ready(east: &Cluster, count: usize) {
    let ready = east.views().metrics.calls_ready();
    eventually(&format!("{count} are ready"), || ready.load(Relaxed) == count).await;
}

#[tokio::test]
async fn a_request_that_finds_no_idle_connection_takes_one_that_was_opened_ahead() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair(", appProtocol: http", endpoint.address).await;
    let address = east.port("shop/web", 80).await;
    let mut first = connect(address).await;
    first.send(GET).await;
    let mut busy = endpoint.accept().await;
    busy.head().await;
    // The endpoint carried HTTP, so one more comes by itself, and says nothing.
    let mut ready = endpoint.accept().await;
    ready.silent().await;
    are_ready(&east, 1).await;
    let mut second = connect(address).await;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(ready.head().await.starts_with("GET /second "));
    ready.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(second.answer().await.body, "ok");
    busy.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(first.answer().await.body, "ok");
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn a_call_that_one_worker_opened_ahead_carries_a_request_of_another() {
    let endpoint = Endpoint::start().await;
    // Who says nothing at first is not taken for somebody who waits for the server.
    let (east, west) = pair_with(2, ", appProtocol: http", endpoint.address).await;
    let address = east.port("shop/web", 80).await;
    let mut first = connect(address).await;
    // The two that stay are served by different workers, one of which did not open what it gets.
    let (mut second, mut third) = (connect(address).await, connect(address).await);
    first.send(GET).await;
    let mut busy = endpoint.accept().await;
    busy.head().await;
    let mut ready = endpoint.accept().await;
    are_ready(&east, 1).await;
    second.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(ready.head().await.starts_with("GET /second "));
    // Two were needed lately.
    let (mut one, mut other) = (endpoint.accept().await, endpoint.accept().await);
    are_ready(&east, 2).await;
    third.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let asked = tokio::select! { asked = one.head() => asked, asked = other.head() => asked };
    assert!(asked.starts_with("GET /third "));
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn what_was_opened_ahead_goes_when_the_endpoint_is_called_no_more() {
    let echo = Echo::start("from west").await;
    let (east, west) = pair("", echo.address).await;
    let address = east.port("shop/web", 80).await;
    let mut client = connect(address).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.body, "from west");
    let called = Instant::now();
    eventually("one is opened ahead", || echo.open() > 1).await;
    // The one that carried the request may stay.
    let gone = || called.elapsed() > LATELY + LOOKS && echo.open() <= 1;
    eventually("those that were opened ahead are gone", gone).await;
    east.end().await;
    west.end().await;
}

#[tokio::test]
async fn none_is_opened_ahead_for_an_endpoint_that_carries_no_http() {
    let endpoint = Endpoint::start().await;
    let (east, west) = pair(", appProtocol: example.com/mail", endpoint.address).await;
    let mut client = connect(east.port("shop/web", 80).await).await;
    client.send("HELO a\r\n").await;
    let mut server = endpoint.accept().await;
    server.until("\r\n").await;
    let more = tokio::time::timeout(LOOKS, endpoint.accept()).await;
    assert!(more.is_err(), "somebody connected");
    server.end().await;
    assert_eq!(client.rest().await, (String::new(), Ending::Clean));
    east.end().await;
    west.end().await;
}
