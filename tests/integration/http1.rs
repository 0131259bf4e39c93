//! HTTP/1 through a Gateway: the bytes at the endpoint, and those at the client.

use std::net::SocketAddr;

use support::client::{connect, get};
use support::cluster::{Cluster, HTTP, gateway, route, service};
use support::endpoint::{Echo, Endpoint};
use support::wire::{Ending, Wire, field, status, without_ours};

/// A Gateway in front of these endpoints.
async fn front(endpoints: &[SocketAddr]) -> (Cluster, SocketAddr) {
    let yaml = gateway("gw", HTTP)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + &service("web", "", endpoints);
    let cluster = Cluster::start("east", &yaml).await;
    let address = cluster.port("infra/gw", 80).await;
    (cluster, address)
}

/// A client and an endpoint with a Gateway between them.
async fn pair() -> (Cluster, Endpoint, Wire) {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(&[endpoint.address]).await;
    let client = connect(address).await;
    (cluster, endpoint, client)
}

#[tokio::test]
async fn the_endpoint_gets_the_request_as_it_was_sent_and_where_it_came_from() {
    let (cluster, endpoint, mut client) = pair().await;
    client
        .send("GET /a%20b?x=1 HTTP/1.1\r\nhOsT: shop.example\r\nX-Odd:  two  words \r\nX-Forwarded-For: 192.0.2.9\r\n\r\n")
        .await;
    let mut server = endpoint.accept().await;
    let head = server.head().await;
    assert_eq!(
        without_ours(&head),
        "GET /a%20b?x=1 HTTP/1.1\r\nhOsT: shop.example\r\nX-Odd:  two  words \r\n\r\n"
    );
    assert_eq!(field(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(field(&head, "x-forwarded-host"), Some("shop.example"));
    assert_eq!(field(&head, "x-forwarded-port"), Some("80"));
    assert!(field(&head, "x-request-id").is_some_and(|id| id.len() >= 16), "{head}");
    assert!(field(&head, "traceparent").is_some_and(|trace| trace.len() == 55), "{head}");
    server.send("HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-B: c\r\n\r\nok").await;
    let answer = client.answer().await;
    assert!(answer.head.starts_with("HTTP/1.1 200 Fine\r\n"), "{answer:?}");
    assert_eq!((answer.field("x-b"), answer.body.as_str()), (Some("c"), "ok"));
    cluster.end().await;
}

#[tokio::test]
async fn connections_on_both_sides_carry_one_request_after_the_other() {
    let echo = Echo::start("a").await;
    let (cluster, address) = front(&[echo.address]).await;
    let mut client = connect(address).await;
    for _ in 0..5 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body, "a");
    }
    for _ in 0..5 {
        assert_eq!(get(address, "a", "/").await.body, "a");
    }
    assert_eq!(echo.connections(), 1);
    cluster.end().await;
}

#[tokio::test]
async fn a_body_with_a_length_or_in_chunks_arrives_as_it_is_with_its_trailers() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    let mut server = endpoint.accept().await;
    assert_eq!(field(&server.head().await, "content-length"), Some("5"));
    assert_eq!(server.exactly(5).await, "hello");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.until("\r\n\r\n").await, "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n");
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
        .await;
    assert_eq!(field(&server.head().await, "transfer-encoding"), Some("chunked"));
    assert_eq!(server.until("\r\n\r\n").await, "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 204);
    cluster.end().await;
}

#[tokio::test]
async fn both_directions_move_at_once() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    assert_eq!(server.until("\r\na\r\n").await, "1\r\na\r\n");
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n").await;
    client.head().await;
    assert_eq!(client.until("\r\nA\r\n").await, "1\r\nA\r\n");
    client.send("1\r\nb\r\n").await;
    assert_eq!(server.until("\r\nb\r\n").await, "1\r\nb\r\n");
    server.send("1\r\nB\r\n").await;
    assert_eq!(client.until("\r\nB\r\n").await, "1\r\nB\r\n");
    client.send("0\r\n\r\n").await;
    assert_eq!(server.until("\r\n\r\n").await, "0\r\n\r\n");
    server.send("0\r\n\r\n").await;
    assert_eq!(client.until("\r\n\r\n").await, "0\r\n\r\n");
    cluster.end().await;
}

#[tokio::test]
async fn interim_answers_arrive_before_the_final_one() {
    let (cluster, endpoint, mut client) = pair().await;
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    let mut server = endpoint.accept().await;
    assert_eq!(field(&server.head().await, "expect"), Some("100-continue"));
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(status(&client.head().await), 100);
    client.send("ok").await;
    assert_eq!(server.exactly(2).await, "ok");
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
    assert_eq!(field(&client.head().await, "link"), Some("</x>"));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
    cluster.end().await;
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_arrives_and_closes() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (413, "big"));
    assert_eq!(answer.field("connection"), Some("close"));
    let (rest, _) = client.rest().await;
    assert_eq!(rest, "");
    let (sent, _) = server.rest().await;
    assert!(sent.len() < 1_000_000, "the request must not look whole");
    cluster.end().await;
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whatever_its_length_says() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    assert_eq!(field(&client.head().await, "content-length"), Some("1000"));
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(server.head().await.starts_with("GET /2 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    assert_eq!(client.answer().await.body, "x");
    cluster.end().await;
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_closed_and_the_endpoint_kept() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    let head = server.head().await;
    assert_eq!((field(&head, "connection"), field(&head, "x-hop")), (None, None));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    let (answer, ending) = client.rest().await;
    assert_eq!(field(&answer, "connection"), Some("close"));
    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
    assert_eq!(ending, Ending::Clean);
    let mut next = connect(cluster.port("infra/gw", 80).await).await;
    next.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(server.head().await.starts_with("GET /2 "));
    cluster.end().await;
}

#[tokio::test]
async fn a_client_that_ends_its_direction_still_gets_its_answer() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.end().await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.silent().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let (answer, ending) = client.rest().await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(ending, Ending::Clean);
    cluster.end().await;
}

#[tokio::test]
async fn a_client_that_breaks_off_breaks_off_its_request() {
    let (cluster, endpoint, mut client) = pair().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    client.reset();
    assert_eq!(server.rest().await.1, Ending::Abort);
    cluster.end().await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let (cluster, endpoint, mut client) = pair().await;
    client
        .send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let mut server = endpoint.accept().await;
    assert!(server.head().await.starts_with("POST /1 "));
    assert_eq!(server.exactly(3).await, "abc");
    server.silent().await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
    assert!(server.head().await.starts_with("GET /2 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
    assert_eq!(client.answer().await.body, "1");
    assert_eq!(client.answer().await.body, "2");
    cluster.end().await;
}

#[tokio::test]
async fn no_rule_is_404_and_no_endpoint_is_503_and_the_connection_stays() {
    let yaml = gateway("gw", HTTP)
        + &route(
            "web",
            "gw",
            "hostnames: [none.example], rules: [{backendRefs: [{name: web, port: 80}]}]",
        )
        + &service("web", "", &[]);
    let cluster = Cluster::start("east", &yaml).await;
    let mut client = connect(cluster.port("infra/gw", 80).await).await;
    for (host, code, reason) in
        [("other.example", 404, "no-route"), ("none.example", 503, "no-endpoint")]
    {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("x-spanway-error")), (code, Some(reason)));
    }
    cluster.end().await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_left_for_another_even_with_a_body() {
    let echo = Echo::start("b").await;
    let gone = Endpoint::start().await.address;
    let (cluster, address) = front(&[gone, echo.address]).await;
    for _ in 0..10 {
        let mut client = connect(address).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(client.answer().await.body, "b");
    }
    cluster.end().await;
}
