//! What leaves has no hop-by-hop line, carries the changes, and means the same to the next parser.
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::scan::Scanner;
use super::super::{Asked, Malformed};
use super::*;

fn request(bytes: &[u8]) -> Result<RequestHead, Malformed> {
    let scanned = Scanner::default().scan(bytes)?.ok_or(Malformed::RequestLine)?;
    RequestHead::judge(bytes, scanned)
}

fn response(bytes: &[u8]) -> ResponseHead {
    let scanned = Scanner::default().scan(bytes).unwrap().unwrap();
    ResponseHead::judge(bytes, scanned, Asked::default()).unwrap()
}

fn forwarded(head: &RequestHead, changes: &[Change<'_>]) -> Result<String, Malformed> {
    let mut out = Vec::new();
    write_request(head, None, changes, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

const PLAIN: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n";

#[track_caller]
fn check(changes: &[Change<'_>], expected: &str) {
    assert_eq!(forwarded(&request(PLAIN).unwrap(), changes).unwrap(), expected);
}

#[test]
fn set_replaces_every_line_of_its_name() {
    check(&[Change::Set("x-A", b"9")], "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-A: 9\r\n\r\n");
}

#[test]
fn remove_takes_every_line_of_its_name_and_add_takes_none() {
    check(
        &[Change::Remove("X-A"), Change::Add("X-B", b"4")],
        "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nX-B: 4\r\n\r\n",
    );
}

#[test]
fn of_changes_to_one_name_the_later_counts() {
    check(
        &[Change::Set("x-a", b"8"), Change::Set("X-A", b"9"), Change::Remove("x-b")],
        "GET /a HTTP/1.1\r\nHost: h\r\nX-A: 9\r\n\r\n",
    );
    check(
        &[Change::Add("n", b"1"), Change::Remove("n")],
        "GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n",
    );
}

#[test]
fn framing_and_connection_are_out_of_reach() {
    let head = request(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").unwrap();
    let changes = [
        Change::Remove("content-length"),
        Change::Set("Content-Length", b"9"),
        Change::Add("Transfer-Encoding", b"chunked"),
        Change::Add("connection", b"x"),
        Change::Add("upgrade", b"h2c"),
    ];
    let out = forwarded(&head, &changes).unwrap();
    assert_eq!(out, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    let mut out = Vec::new();
    write_response(
        &response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        ReplyTo { version: Version::Http11, head: false, keep_alive: true },
        &changes,
        &mut out,
    )
    .unwrap();
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
}

#[test]
fn a_change_that_would_break_a_line_is_refused() {
    let head = request(PLAIN).unwrap();
    for value in [b"a\r\nb: c".as_slice(), b"a\nb", b"a\rb", b"\0"] {
        assert_eq!(forwarded(&head, &[Change::Set("x", value)]), Err(Malformed::FieldValue));
        assert_eq!(forwarded(&head, &[Change::Add("x", value)]), Err(Malformed::FieldValue));
    }
    for name in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
        assert_eq!(forwarded(&head, &[Change::Add(name, b"x")]), Err(Malformed::FieldName));
    }
    assert_eq!(forwarded(&head, &[Change::Set("host", b"a/b")]), Err(Malformed::Host));
}

#[test]
fn host_and_target_are_replaced_in_their_place() {
    let head = request(PLAIN).unwrap();
    let mut out = Vec::new();
    write_request(&head, Some("/b?c"), &[Change::Set("Host", b"i:8080")], &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "GET /b?c HTTP/1.1\r\nhost: i:8080\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n"
    );
    for target in ["", "b", "/ b", "/\r\n", "http://x/", "*"] {
        assert!(write_request(&head, Some(target), &[], &mut Vec::new()).is_err(), "{target:?}");
    }
}

#[test]
fn an_answer_that_does_not_keep_the_connection_says_so() {
    let head = response(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let to = ReplyTo { version: Version::Http11, head: false, keep_alive: true }.closing();
    let mut out = Vec::new();
    write_response(&head, to, &[], &mut out).unwrap();
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nconnection: close\r\n\r\n");
}

const NAMES: [&str; 16] = [
    "Accept",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authorization",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
    "X-One",
    "x-two",
    "Cookie",
    "Expect",
    "Content-Length",
    "Transfer-Encoding",
    "Trailer",
    "Via",
];
const VALUES: [&str; 10] = [
    "x",
    "",
    "close",
    "x-one, X-Two",
    "trailers",
    "websocket",
    "chunked",
    "5",
    "100-continue",
    "upgrade, te",
];

proptest! {
    #[test]
    fn no_hop_line_leaves_and_the_framing_stays(
        method in select(vec!["GET", "POST", "OPTIONS", "HEAD"]),
        target in select(vec!["/", "/a?b", "*", "http://h/x", "HTTP://H"]),
        version in select(vec!["1.0", "1.1"]),
        fields in vec((select(NAMES.to_vec()), select(VALUES.to_vec())), 0..6),
    ) {
        let lines = fields.iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect::<String>();
        let bytes = format!("{method} {target} HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
        let Ok(head) = request(bytes.as_bytes()) else { return Ok(()) };
        let out = forwarded(&head, &[]).unwrap();
        let again = request(out.as_bytes()).unwrap();
        prop_assert_eq!(again.body(), head.body());
        prop_assert_eq!((again.method(), again.target()), (head.method(), head.target()));
        prop_assert_eq!(again.is_websocket(), head.is_websocket());
        prop_assert_eq!(&forwarded(&again, &[]).unwrap(), &out);
        let nominated: Vec<_> = fields.iter().filter(|(name, _)| *name == "Connection").map(|(_, value)| *value).collect();
        for (name, value) in again.fields() {
            let allowed = match name {
                "connection" => ["upgrade", "te"].contains(&std::str::from_utf8(value).unwrap()),
                "te" => value == b"trailers",
                "upgrade" => value == b"websocket",
                "transfer-encoding" => value == b"chunked",
                _ => !Kind::of(name.as_bytes()).is_hop()
                    && !nominated.contains(&"x-one, X-Two") | !name.to_lowercase().starts_with("x-"),
            };
            prop_assert!(allowed, "{name} in {out:?}");
        }
    }
}
