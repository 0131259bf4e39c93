//! HTTP/2 and gRPC: either version on either side.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Response};
use support::client::connect;
use support::cluster::{Cluster, HTTP, export, gateway, route, service};
use support::endpoint::Endpoint;
use support::http2::{Client, body, head, next, serve};
use support::wire::{Ending, field};

/// A Gateway in front of `shop/web`, whose port says that it speaks this.
async fn front(protocol: &str, endpoint: &Endpoint) -> (Cluster, SocketAddr) {
    front_of(1, protocol, endpoint).await
}

/// The same with so many workers.
async fn front_of(workers: usize, protocol: &str, endpoint: &Endpoint) -> (Cluster, SocketAddr) {
    let yaml = gateway("gw", HTTP)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + &service("web", protocol, &[endpoint.address]);
    let cluster = Cluster::start_with("east", &yaml, |settings| settings.workers = workers).await;
    let address = cluster.port("infra/gw", 80).await;
    (cluster, address)
}

const H2C: &str = ", appProtocol: kubernetes.io/h2c";

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://a.example{path}"))
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
}

#[tokio::test]
async fn http2_of_the_client_is_http1_at_the_endpoint() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front("", &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let post = request("POST", "/a?b=c").header("te", "trailers").header("x-odd", "1");
    let (answer, mut upload) = client.request(post.body(()).expect("sound"), false).await;
    let mut server = endpoint.accept().await;
    let sent = server.head().await;
    assert!(sent.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{sent}");
    assert_eq!(field(&sent, "host"), Some("a.example"));
    assert_eq!(field(&sent, "transfer-encoding"), Some("chunked"));
    assert_eq!(field(&sent, "x-odd"), Some("1"));
    upload.send_data(Bytes::from_static(b"hello"), false).expect("an open stream");
    assert_eq!(server.until("hello\r\n").await, "5\r\nhello\r\n");
    upload.send_trailers(trailers("x-sum", "7")).expect("an open stream");
    assert_eq!(server.until("\r\n\r\n").await, "0\r\nx-sum: 7\r\n\r\n");
    server
        .send("HTTP/1.1 201 Made\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-After: 3\r\n\r\n")
        .await;
    let answer = head(answer).await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers().get("x-end"), Some(&HeaderValue::from_static("2")));
    for hop in ["connection", "x-hop", "transfer-encoding"] {
        assert_eq!(answer.headers().get(hop), None, "{hop}");
    }
    let (bytes, after) = body(answer.into_body()).await.expect("whole");
    assert_eq!(bytes, b"abc");
    assert_eq!(after.expect("trailers").get("x-after"), Some(&HeaderValue::from_static("3")));
    cluster.end().await;
}

#[tokio::test]
async fn http1_of_the_client_is_http2_at_an_endpoint_that_speaks_it() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(H2C, &endpoint).await;
    let mut client = connect(address).await;
    client
        .send("POST /p HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
        .await;
    let mut requests = serve(endpoint.accept().await.io);
    let (sent, mut answer) = next(&mut requests).await;
    assert_eq!((sent.method().as_str(), sent.uri().path()), ("POST", "/p"));
    assert_eq!(sent.uri().host(), Some("a.example"));
    assert_eq!(sent.headers().get("host"), None);
    let (bytes, after) = body(sent.into_body()).await.expect("whole");
    assert_eq!(bytes, b"hello");
    assert_eq!(after.expect("trailers").get("x-sum"), Some(&HeaderValue::from_static("7")));
    let mut stream = answer.send_response(Response::new(()), false).expect("an open stream");
    stream.send_data(Bytes::from_static(b"abc"), false).expect("an open stream");
    stream.send_trailers(trailers("x-after", "3")).expect("an open stream");
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(client.until("\r\n\r\n").await, "3\r\nabc\r\n0\r\nx-after: 3\r\n\r\n");
    cluster.end().await;
}

#[tokio::test]
async fn a_request_of_another_worker_goes_over_the_connection_that_stands() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front_of(2, H2C, &endpoint).await;
    // Both stay, so that each is served by a worker of its own.
    let (mut one, mut other) = (connect(address).await, connect(address).await);
    one.send("GET /one HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let mut requests = serve(endpoint.accept().await.io);
    let (sent, mut answer) = next(&mut requests).await;
    assert_eq!(sent.uri().path(), "/one");
    answer.send_response(Response::new(()), true).expect("an open stream");
    assert!(one.head().await.starts_with("HTTP/1.1 200 "));
    other.send("GET /other HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let (sent, mut answer) = next(&mut requests).await;
    assert_eq!(sent.uri().path(), "/other");
    answer.send_response(Response::new(()), true).expect("an open stream");
    assert!(other.head().await.starts_with("HTTP/1.1 200 "));
    endpoint.left_alone().await;
    cluster.end().await;
}

#[tokio::test]
async fn a_grpc_stream_crosses_the_link_in_both_directions() {
    let endpoint = Endpoint::start().await;
    let west =
        Cluster::start("west", &(service("web", "", &[endpoint.address]) + &export("web"))).await;
    let east = Cluster::start("east", "").await;
    east.write("link.yaml", &west.link("  import: {rules: [{name: '{service}'}]}\n"));
    west.write("link.yaml", &east.link(""));
    let client = Client::start(connect(east.port("shop/web", 80).await).await.io).await;
    let call = request("POST", "/pkg.Service/Talk")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (answer, mut up) = client.request(call.body(()).expect("sound"), false).await;
    let mut requests = serve(endpoint.accept().await.io);
    let (sent, mut respond) = next(&mut requests).await;
    assert_eq!(sent.headers().get("te"), Some(&HeaderValue::from_static("trailers")));
    let mut inbound = sent.into_body();
    let mut down = respond.send_response(Response::new(()), false).expect("an open stream");
    let mut outbound = head(answer).await.expect("an answer").into_body();
    for message in ["one", "two", "three"] {
        up.send_data(Bytes::from(message), false).expect("an open stream");
        let got = inbound.data().await.expect("a message").expect("sound");
        assert_eq!(got, message);
        down.send_data(got, false).expect("an open stream");
        let back = outbound.data().await.expect("a message").expect("sound");
        assert_eq!(back, message);
    }
    up.send_data(Bytes::new(), true).expect("an open stream");
    assert!(inbound.data().await.is_none_or(|end| end.is_ok_and(|end| end.is_empty())));
    down.send_trailers(trailers("grpc-status", "0")).expect("an open stream");
    let (_, after) = body(outbound).await.expect("whole");
    assert_eq!(after.expect("trailers").get("grpc-status"), Some(&HeaderValue::from_static("0")));
    east.end().await;
    west.end().await;
}

/// What one connection of a client may send ahead is less than all of these together.
#[tokio::test]
async fn calls_that_wait_for_their_answers_hold_nothing_of_the_window() {
    const CALLS: usize = 40;
    let message = Bytes::from(vec![b'm'; 48 * 1024]);
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(H2C, &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let mut waiting = Vec::new();
    let mut requests = None;
    for number in 0..CALLS {
        let call = request("POST", "/watch").body(()).expect("sound");
        let (answer, mut up) = client.request(call, false).await;
        up.send_data(message.clone(), true).expect("an open stream");
        if requests.is_none() {
            requests = Some(serve(endpoint.accept().await.io));
        }
        let (sent, respond) = next(requests.as_mut().expect("a connection")).await;
        let (bytes, after) = body(sent.into_body()).await.expect("whole");
        assert_eq!((bytes.len(), after), (message.len(), None), "call {number}");
        waiting.push((answer, up, respond));
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_stream_that_the_client_cancels_is_broken_off_at_the_endpoint() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front("", &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let (answer, mut stream) =
        client.request(request("GET", "/").body(()).expect("sound"), true).await;
    let mut server = endpoint.accept().await;
    server.head().await;
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    assert_eq!(server.rest().await.1, Ending::Abort);
    cluster.end().await;

    let (cluster, address) = front(H2C, &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let (answer, mut stream) =
        client.request(request("GET", "/").body(()).expect("sound"), true).await;
    let mut requests = serve(endpoint.accept().await.io);
    let (_, mut respond) = next(&mut requests).await;
    let mut down = respond.send_response(Response::new(()), false).expect("an open stream");
    down.send_data(Bytes::from_static(b"some"), false).expect("an open stream");
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    let reset = std::future::poll_fn(|cx| down.poll_reset(cx));
    let reset = tokio::time::timeout(support::wire::WAIT, reset).await.expect("in time");
    assert_eq!(reset.expect("a reset"), Reason::CANCEL);
    cluster.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_resets_its_stream_and_leaves_the_others() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front("", &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let ask = || client.request(request("GET", "/").body(()).expect("sound"), true);
    let (one, _) = ask().await;
    let mut first = endpoint.accept().await;
    first.head().await;
    let (other, _) = ask().await;
    let mut second = endpoint.accept().await;
    second.head().await;
    first.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    let one = head(one).await.expect("an answer");
    first.reset();
    let broken = body(one.into_body()).await.expect_err("it never looks whole");
    assert!(broken.is_reset(), "{broken}");
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let other = head(other).await.expect("an answer");
    assert_eq!(body(other.into_body()).await.expect("whole").0, b"ok");
    cluster.end().await;
}

#[tokio::test]
async fn an_early_answer_arrives_whole_although_the_request_goes_on() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front("", &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let (answer, mut up) =
        client.request(request("POST", "/").body(()).expect("sound"), false).await;
    up.send_data(Bytes::from_static(b"begin"), false).expect("an open stream");
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let answer = head(answer).await.expect("an answer");
    assert_eq!(answer.status(), 413);
    assert_eq!(body(answer.into_body()).await.expect("whole").0, b"big");
    let (_, ending) = server.rest().await;
    assert_eq!(ending, Ending::Abort, "the request must not look whole");
    let (answer, _) = client.request(request("GET", "/2").body(()).expect("sound"), true).await;
    let mut server = endpoint.accept().await;
    assert!(server.head().await.starts_with("GET /2 "));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(head(answer).await.expect("an answer").status(), 200);
    cluster.end().await;
}

/// Frames of HTTP/2 without a payload to read: settings, and a farewell that leaves out all streams.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const FAREWELL: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;

/// Reads frames up to the head of a request, and goes without having worked on it.
async fn leave_out(mut io: tokio::net::TcpStream) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await.expect("the preface");
    io.write_all(&SETTINGS).await.expect("an open connection");
    loop {
        let mut frame = [0; 9];
        io.read_exact(&mut frame).await.expect("a frame");
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        let mut payload = vec![0; usize::try_from(length).expect("a short frame")];
        io.read_exact(&mut payload).await.expect("its payload");
        if frame[3] == HEADERS {
            break;
        }
    }
    io.write_all(&FAREWELL).await.expect("an open connection");
    io.shutdown().await.expect("an open connection");
}

#[tokio::test]
async fn a_request_that_an_endpoint_left_out_when_it_went_is_tried_again() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(H2C, &endpoint).await;
    let mut client = connect(address).await;
    client.send("GET /g HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    leave_out(endpoint.accept().await.io).await;
    let mut requests = serve(endpoint.accept().await.io);
    let (sent, mut answer) = next(&mut requests).await;
    assert_eq!(sent.uri().path(), "/g");
    answer.send_response(Response::new(()), true).expect("an open stream");
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    cluster.end().await;
}

#[tokio::test]
async fn a_gateway_that_drains_says_goaway_and_finishes_what_is_under_way() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front("", &endpoint).await;
    let client = Client::start(connect(address).await.io).await;
    let (answer, _) = client.request(request("GET", "/").body(()).expect("sound"), true).await;
    let mut server = endpoint.accept().await;
    server.head().await;
    let mut readiness = cluster.views().readiness.clone();
    let leaving = tokio::spawn(cluster.app.leave());
    readiness.wait_for(|now| now.leaving).await.expect("it says so");
    let refused = || std::net::TcpStream::connect(address).is_err();
    support::cluster::eventually("it accepts no more", refused).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let answer = head(answer).await.expect("an answer");
    assert_eq!(body(answer.into_body()).await.expect("whole").0, b"ok");
    let ended = tokio::time::timeout(support::wire::WAIT, client.ended).await.expect("in time");
    ended.expect("no panic").expect("a connection that ends in order");
    assert_eq!(leaving.await.expect("no panic"), 0);
}
