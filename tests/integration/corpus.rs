//! The table of HTTP/1 messages against a whole gateway: what reaches an endpoint, and a client.

use std::net::SocketAddr;

use support::client::{connect, get};
use support::cluster::{Cluster, HTTP, eventually, gateway, route, service};
use support::corpus::{Asker, Case, End, read};
use support::endpoint::{Echo, Endpoint, whole};
use support::wire::{Ending, Wire, status, without_ours};

const TABLE: &str = include_str!("../corpus/h1.txt");
/// Fields that only a gateway may send on: the table has them, an endpoint behind an ingress not.
const ORIGIN: [&str; 3] = ["forwarded:", "x-forwarded-", "via:"];

/// A listener takes HTTP/2 with prior knowledge, too: the codec alone does not. And `*` is no path
/// that a rule could match.
const ELSEWHERE: [&str; 3] = ["base-http2-preface", "target-absolute-options", "target-asterisk"];

fn cases(answers: bool) -> Vec<Case> {
    let cases = read(TABLE).expect("the table can be read");
    cases.into_iter().filter(|case| case.asker.is_some() == answers).collect()
}

async fn front(endpoint: SocketAddr) -> (Cluster, SocketAddr) {
    let yaml = gateway("gw", HTTP)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + &service("web", "", &[endpoint]);
    let cluster = Cluster::start("east", &yaml).await;
    let address = cluster.port("infra/gw", 80).await;
    (cluster, address)
}

/// The whole messages that `bytes` begin with, and what is left. Chunks are joined, the gateway's
/// fields left out.
fn messages(mut bytes: &[u8]) -> (Vec<String>, &[u8]) {
    let mut messages = Vec::new();
    while let Some(length) = whole(bytes) {
        let (message, rest) = bytes.split_at(length);
        messages.push(plain(message));
        bytes = rest;
    }
    (messages, bytes)
}

fn plain(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole message has a head");
    let head = without_ours(head);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.to_owned() };
    let stays = |line: &&str| {
        let line = line.to_ascii_lowercase();
        !ORIGIN.iter().any(|origin| line.starts_with(origin))
    };
    let lines: Vec<&str> = head.split("\r\n").filter(stays).collect();
    lines.join("\r\n") + "\r\n\r\n" + &body
}

/// The bytes in the chunks, and the trailers.
fn joined(mut body: &str) -> String {
    let mut joined = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the gateway writes plain chunk sizes");
        if size == 0 {
            return joined + "|" + rest;
        }
        joined.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    joined + body
}

/// Sends a case as a client does and gives all that came back.
async fn send(address: SocketAddr, case: &Case) -> (String, Ending) {
    let mut client = connect(address).await;
    // Who is refused in the middle may find its connection closed.
    let sent = client.try_send(&case.bytes).await;
    if matches!(case.end, End::Clean | End::Cut) {
        sent.expect("the gateway reads what it forwards");
        client.end().await;
    }
    client.rest().await
}

fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|line| line.get(..3)?.parse().ok()).collect()
}

#[tokio::test]
async fn no_ambiguous_request_reaches_an_endpoint_as_a_whole_one() {
    let echo = Echo::start("ok").await;
    let (cluster, address) = front(echo.address).await;
    let mut cases = cases(false);
    cases.retain(|case| !ELSEWHERE.contains(&case.name.as_str()));
    assert!(cases.len() > 120, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        echo.forget();
        let (expected, _) = messages(&case.forwarded);
        let (answers, ending) = send(address, case).await;
        let seen = echo.seen();
        let all: Vec<String> = seen.iter().flat_map(|bytes| messages(bytes).0).collect();
        let got = statuses(&answers);
        let ok = got.iter().filter(|status| **status == 200).count();
        let last = match case.end {
            End::Refuse(status) => Some(status),
            End::Break(status) => got.last().copied().filter(|last| *last == status),
            _ => None,
        };
        let right = all == expected
            && ok == expected.len()
            && got.len() == expected.len() + usize::from(last.is_some())
            && last.is_none_or(|last| got.last() == Some(&last))
            && (case.end != End::Clean || ending == Ending::Clean);
        if !right {
            wrong.push(format!(
                "{}: {all:?} {got:?} {ending:?}, not {expected:?} {:?}",
                case.name, case.end
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(get(address, "a", "/").await.body, "ok");
    cluster.end().await;
}

fn question(asker: Asker) -> &'static str {
    match asker {
        Asker::Get => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Asker::Head => "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        Asker::Old => "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        Asker::WebSocket => {
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        }
    }
}

/// An answer in a form in which only its meaning counts.
fn meaning(answer: &str) -> String {
    let mut rest = answer;
    let mut plain_text = String::new();
    while let Some((head, body)) = rest.split_once("\r\n\r\n") {
        plain_text = plain_text + head + "\r\n\r\n";
        rest = body;
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return plain_text + &joined(body);
        }
    }
    plain_text + rest
}

async fn ask(address: SocketAddr, endpoint: &Endpoint, case: &Case) -> (String, Ending) {
    let asker = case.asker.expect("an answer is asked for");
    let mut client = connect(address).await;
    client.send(question(asker)).await;
    client.end().await;
    let mut server = endpoint.accept().await;
    server.head().await;
    // The gateway may have had enough before the end.
    if server.try_send(&case.bytes).await.is_ok() {
        let ended = tokio::io::AsyncWriteExt::shutdown(&mut server.io).await;
        drop(ended);
    }
    client.rest().await
}

#[tokio::test]
async fn no_broken_answer_reaches_a_client_as_a_whole_one() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    let cases = cases(true);
    let mut wrong = Vec::new();
    for case in &cases {
        let (answer, ending) = ask(address, &endpoint, case).await;
        let right = match case.end {
            End::Refuse(code) => statuses(&answer).last() == Some(&code) && ending == Ending::Clean,
            End::Break(_) => ending == Ending::Abort,
            End::Cut => ending == Ending::Abort || statuses(&answer).last() == Some(&502),
            End::Clean | End::Surplus => {
                let expected = String::from_utf8_lossy(&case.forwarded);
                meaning(&answer) == meaning(&expected) && ending == Ending::Clean
            }
        };
        if !right {
            wrong.push(format!("{}: {answer:?} {ending:?}, not {:?}", case.name, case.end));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    cluster.end().await;
}

/// Asks once on a connection that stays open on both sides, with this answer.
async fn exchange(client: &mut Wire, server: &mut Wire, path: &str, answer: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let head = server.head().await;
    assert!(head.starts_with(&format!("GET {path} ")), "{head}");
    server.send(answer).await;
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    for hostile in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ] {
        let mut one = connect(address).await;
        one.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut server = endpoint.accept().await;
        server.head().await;
        server.send(hostile).await;
        one.head().await;
        let mut other = connect(address).await;
        other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut fresh = endpoint.accept().await;
        assert!(fresh.head().await.starts_with("GET /other "));
        fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        assert_eq!(other.answer().await.body, "ok", "after {hostile:?}");
        assert_eq!(server.rest().await.0, "", "nothing follows on a connection that said too much");
    }
    cluster.end().await;
}

#[tokio::test]
async fn what_an_idle_endpoint_says_is_nobodys_answer() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    let mut one = connect(address).await;
    one.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send(OK).await;
    assert_eq!(one.answer().await.body, "ok");
    // On the same connection, while the other client uses it in between.
    let mut other = connect(address).await;
    exchange(&mut other, &mut server, "/other", OK).await;
    assert_eq!(other.answer().await.body, "ok");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
    assert_eq!(server.rest().await.0, "", "the gateway leaves it");
    one.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut fresh = endpoint.accept().await;
    assert!(fresh.head().await.starts_with("GET /again "));
    fresh.send(OK).await;
    assert_eq!(one.answer().await.body, "ok");
    cluster.end().await;
}

#[tokio::test]
async fn an_answer_that_breaks_in_the_middle_breaks_off_both_connections() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    for hostile in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        let mut client = connect(address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut server = endpoint.accept().await;
        server.head().await;
        server.send(hostile).await;
        assert_eq!(client.rest().await.1, Ending::Abort, "{hostile:?}");
        assert_eq!(server.rest().await.1, Ending::Abort, "{hostile:?}");
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_close_delimited_answer_that_is_reset_never_ends_clean() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    let mut client = connect(address).await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send("HTTP/1.1 200 OK\r\n\r\nhalf").await;
    assert_eq!(status(&client.head().await), 200);
    assert_eq!(client.exactly(4).await, "half");
    server.reset();
    assert_eq!(client.rest().await, (String::new(), Ending::Abort));
    cluster.end().await;
}

#[tokio::test]
async fn a_post_on_a_connection_that_the_endpoint_just_closed_is_never_sent_twice() {
    let endpoint = Endpoint::start().await;
    let (cluster, address) = front(endpoint.address).await;
    let mut client = connect(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
    client.send("POST /once HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert!(server.head().await.starts_with("POST /once "));
    assert_eq!(server.exactly(2).await, "hi");
    server.reset();
    assert_eq!(client.answer().await.status(), 502);
    endpoint.left_alone().await;
    client.send("GET /twice HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    server.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
    client.send("GET /twice HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.head().await;
    server.reset();
    let mut server = endpoint.accept().await;
    assert!(server.head().await.starts_with("GET /twice "));
    server.send(OK).await;
    assert_eq!(client.answer().await.body, "ok");
    cluster.end().await;
}

#[tokio::test]
async fn an_endpoint_that_says_nothing_costs_a_504_where_the_rule_has_a_limit() {
    let endpoint = Endpoint::start().await;
    let yaml = gateway("gw", HTTP)
        + &route(
            "web",
            "gw",
            "rules: [{timeouts: {backendRequest: 200ms}, backendRefs: [{name: web, port: 80}]}]",
        )
        + &service("web", "", &[endpoint.address]);
    let cluster = Cluster::start("east", &yaml).await;
    let mut client = connect(cluster.port("infra/gw", 80).await).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut server = endpoint.accept().await;
    server.head().await;
    assert_eq!(client.answer().await.status(), 504);
    assert_eq!(server.rest().await.1, Ending::Abort);
    let text = || cluster.views().metrics.text(0).expect("metrics are text");
    eventually("the metric", || text().contains(r#"code="504""#)).await;
    cluster.end().await;
}
