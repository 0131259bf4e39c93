//! What leaves has no hop-by-hop line, carries the changes, and means the same to the next parser.
use http::{HeaderName, HeaderValue};
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

fn field(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// A filter that sets one field.
fn set(name: &'static str, value: &'static str) -> HeaderChange {
    HeaderChange::new(vec![field(name, value)], Vec::new(), Vec::new())
}

/// A filter that adds one field.
fn add(name: &'static str, value: &'static str) -> HeaderChange {
    HeaderChange::new(Vec::new(), vec![field(name, value)], Vec::new())
}

const PLAIN: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n";

#[track_caller]
fn check(changes: &[Change<'_>], expected: &str) {
    assert_eq!(forwarded(&request(PLAIN).unwrap(), changes).unwrap(), expected);
}

#[test]
fn set_replaces_every_line_of_its_name() {
    let nine = set("x-a", "9");
    check(&[Change::Filter(&nine)], "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-a: 9\r\n\r\n");
}

#[test]
fn remove_takes_every_line_of_its_name_and_add_takes_none() {
    check(
        &[Change::Remove("X-A"), Change::Filter(&add("x-b", "4"))],
        "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-b: 4\r\n\r\n",
    );
}

#[test]
fn of_changes_to_one_name_the_later_counts() {
    check(
        &[
            Change::Filter(&set("x-a", "8")),
            Change::Filter(&set("x-a", "9")),
            Change::Remove("X-B"),
        ],
        "GET /a HTTP/1.1\r\nHost: h\r\nx-a: 9\r\n\r\n",
    );
    check(
        &[Change::Filter(&add("n", "1")), Change::Remove("n")],
        "GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n",
    );
}

static A: OwnField = OwnField::new("x-a: ");
static N: OwnField = OwnField::new("n: ");

#[test]
fn own_lines_replace_those_of_their_names_and_give_way_to_filters() {
    let own = OwnLines::new([(&A, b"7"), (&N, b"8")]);
    let own = Change::OwnLines(&own);
    check(&[own], "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-a: 7\r\nn: 8\r\n\r\n");
    check(
        &[own, Change::Filter(&set("x-a", "9"))],
        "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nn: 8\r\nx-a: 9\r\n\r\n",
    );
    check(&[own, Change::Remove("N")], "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-a: 7\r\n\r\n");
    check(
        &[own, Change::Filter(&add("n", "9"))],
        "GET /a HTTP/1.1\r\nHost: h\r\nx-b: 2\r\nx-a: 7\r\nn: 8\r\nn: 9\r\n\r\n",
    );
}

#[test]
fn lines_of_the_framing_are_not_taken_away() {
    let head = request(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").unwrap();
    let changes = [Change::Remove("content-length"), Change::Remove("host")];
    let out = forwarded(&head, &changes).unwrap();
    assert_eq!(out, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
    let mut out = Vec::new();
    write_response(
        &response(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
        ReplyTo { version: Version::Http11, head: false, keep_alive: true },
        &changes,
        &mut out,
    );
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
}

#[test]
fn the_types_of_a_change_hold_nothing_that_would_break_a_line() {
    for value in [b"a\r\nb: c".as_slice(), b"a\nb", b"a\rb", b"\0", b"\x7f"] {
        assert!(HeaderValue::from_bytes(value).is_err() && !grammar::is_text(value), "{value:?}");
    }
    for name in ["", "a b", "a:", "a\r\n", "\u{e9}"] {
        let name = name.as_bytes();
        assert!(HeaderName::from_bytes(name).is_err() && !grammar::is_token(name), "{name:?}");
    }
}

#[test]
fn a_target_is_replaced_in_its_place() {
    let head = request(PLAIN).unwrap();
    let mut out = Vec::new();
    write_request(&head, Some("/b?c"), &[], &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "GET /b?c HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-b: 2\r\nX-a: 3\r\n\r\n"
    );
    for target in ["", "b", "/ b", "/\r\n", "http://x/", "*"] {
        assert!(write_request(&head, Some(target), &[], &mut Vec::new()).is_err(), "{target:?}");
    }
}

#[test]
fn the_first_line_leaves_in_the_usual_form() {
    let to = ReplyTo { version: Version::Http11, head: true, keep_alive: true };
    for (came, leaves) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.0 404 Not Found", "HTTP/1.1 404 Not Found"),
        ("HTTP/1.1 200 ", "HTTP/1.1 200 "),
        ("HTTP/1.1 200", "HTTP/1.1 200 "),
    ] {
        for fields in ["", "x-a: 1\r\n"] {
            let mut out = Vec::new();
            let head = response(format!("{came}\r\n{fields}\r\n").as_bytes());
            write_response(&head, to, &[], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{leaves}\r\n{fields}\r\n"));
        }
    }
    for came in ["GET /a?b HTTP/1.1", "GET /a?b HTTP/1.0", "GET http://h/a?b HTTP/1.1"] {
        let head = request(format!("{came}\r\nhost: h\r\n\r\n").as_bytes()).unwrap();
        let leaves = "GET /a?b HTTP/1.1\r\nhost: h\r\n\r\n";
        assert_eq!(forwarded(&head, &[]).unwrap(), leaves, "{came}");
    }
}

#[test]
fn an_answer_that_does_not_keep_the_connection_says_so() {
    let head = response(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let to = ReplyTo { version: Version::Http11, head: false, keep_alive: true }.closing();
    let mut out = Vec::new();
    write_response(&head, to, &[], &mut out);
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
