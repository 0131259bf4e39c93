//! What came over HTTP/2 is written as one lawful HTTP/1 message or refused.
use super::super::edit::write_request;
use super::super::{Change, ReplyTo, Version};
use super::*;

type Pairs<'a> = &'a [(&'a str, &'a [u8])];

fn build(
    method: &str,
    target: &str,
    authority: &str,
    fields: Pairs<'_>,
    ended: bool,
) -> Result<RequestHead, Malformed> {
    let mut builder = RequestBuilder::new(method, target, authority)?;
    for (name, value) in fields {
        builder.field(name, value)?;
    }
    builder.finish(ended)
}

fn written(head: &RequestHead) -> String {
    let mut out = Vec::new();
    let changes: [Change<'_>; 0] = [];
    write_request(head, None, &changes, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check(fields: Pairs<'_>, ended: bool, expected: &str) {
    assert_eq!(written(&build("POST", "/a?b", "h:80", fields, ended).unwrap()), expected);
}

#[test]
fn a_body_of_unknown_length_comes_in_chunks() {
    check(
        &[("x", b"y")],
        false,
        "POST /a?b HTTP/1.1\r\nhost: h:80\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n",
    );
}

#[test]
fn an_announced_length_stays() {
    check(
        &[("content-length", b"5")],
        false,
        "POST /a?b HTTP/1.1\r\nhost: h:80\r\ncontent-length: 5\r\n\r\n",
    );
    check(
        &[("content-length", b"0")],
        false,
        "POST /a?b HTTP/1.1\r\nhost: h:80\r\ncontent-length: 0\r\n\r\n",
    );
}

#[test]
fn a_stream_that_ended_has_no_body() {
    check(&[], true, "POST /a?b HTTP/1.1\r\nhost: h:80\r\n\r\n");
}

#[test]
fn cookie_crumbs_become_one_line() {
    let crumbs: Pairs<'_> = &[("cookie", b"a=1"), ("x", b"y"), ("cookie", b"b=2")];
    check(crumbs, true, "POST /a?b HTTP/1.1\r\nhost: h:80\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n");
}

#[test]
fn te_trailers_stays() {
    let out = "POST /a?b HTTP/1.1\r\nhost: h:80\r\nconnection: te\r\nte: trailers\r\n\r\n";
    check(&[("te", b"trailers"), ("host", b"H:80")], true, out);
}

#[test]
fn pseudo_fields_that_are_no_request_line_are_refused() {
    let cases = [
        ("", "/", "h"),
        ("GET /x HTTP/1.1", "/", "h"),
        ("G\r\nET", "/", "h"),
        ("CONNECT", "/", "h"),
        ("TRACE", "/", "h"),
        ("GET", "", "h"),
        ("GET", "a", "h"),
        ("GET", "*", "h"),
        ("GET", "/ HTTP/1.1\r\nx: y", "h"),
        ("GET", "/a b", "h"),
        ("GET", "/a#b", "h"),
        ("GET", "/\0", "h"),
        ("GET", "/\u{e9}", "h"),
        ("GET", "http://h/", "h"),
        ("GET", "/\t", "h"),
        ("GET", "/", ""),
        ("GET", "/", "h\r\nx: y"),
        ("GET", "/", "h, i"),
        ("GET", "/", "u@h"),
        ("GET", "/", "h:"),
        ("GET", "/", "h:99999"),
        ("GET", "/", "h/x"),
        ("GET", "/", "h i"),
    ];
    for (method, target, authority) in cases {
        assert!(
            build(method, target, authority, &[], true).is_err(),
            "{method:?} {target:?} {authority:?}"
        );
    }
}

#[test]
fn fields_that_would_break_out_of_their_line_or_frame_are_refused() {
    let cases: Pairs<'_> = &[
        ("x", b"a\r\nb: c"),
        ("x", b"a\nb"),
        ("x", b"a\rb"),
        ("x", b"a\0"),
        ("x\r\ny", b"a"),
        ("x:y", b"a"),
        ("x y", b"a"),
        ("", b"a"),
        (":path", b"/"),
        ("connection", b"close"),
        ("keep-alive", b"1"),
        ("proxy-connection", b"x"),
        ("transfer-encoding", b"chunked"),
        ("upgrade", b"websocket"),
        ("te", b"gzip"),
        ("host", b"other"),
        ("content-length", b"+1"),
        ("content-length", b"1, 1"),
        ("expect", b"x"),
        ("transfer_encoding", b"chunked"),
    ];
    for (name, value) in cases {
        assert!(build("POST", "/", "h", &[(name, value)], false).is_err(), "{name:?}: {value:?}");
    }
    let twice: Pairs<'_> = &[("content-length", b"1"), ("content-length", b"1")];
    assert_eq!(build("POST", "/", "h", twice, false).unwrap_err(), Malformed::LengthRepeated);
    let promised: Pairs<'_> = &[("content-length", b"1")];
    assert_eq!(build("POST", "/", "h", promised, true).unwrap_err(), Malformed::Length);
}

#[test]
fn crumbs_and_bytes_are_limited() {
    let many: Vec<(&str, &[u8])> = vec![("cookie", b"a"); limits::COOKIE_CRUMBS + 1];
    assert_eq!(build("GET", "/", "h", &many, true).unwrap_err(), Malformed::TooManyFields);
    let large = vec![b'a'; limits::HEAD_BYTES];
    assert_eq!(
        build("GET", "/", "h", &[("cookie", &large)], true).unwrap_err(),
        Malformed::HeadTooLarge
    );
}

#[test]
fn an_answer_over_http2_gets_the_framing_it_needs() {
    let asked = Asked::default();
    let head = ResponseHead::of_fields(200, [("x", b"y".as_slice())], asked, false).unwrap();
    assert_eq!(head.body(), Body::Chunked);
    let head = ResponseHead::of_fields(200, [], asked, true).unwrap();
    assert_eq!(head.body(), Body::None);
    let mut out = Vec::new();
    let to = ReplyTo { version: Version::Http11, head: false, keep_alive: true };
    edit::write_response(&head, to, &[], &mut out);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let promised = [("content-length", b"5".as_slice())];
    assert!(ResponseHead::of_fields(200, promised, asked, true).is_err());
    let head = ResponseHead::of_fields(200, promised, Asked { head: true, ..asked }, true).unwrap();
    assert_eq!((head.body(), head.header("content-length")), (Body::None, Some(b"5".as_slice())));
}

#[test]
fn an_answer_over_http2_cannot_break_out_of_its_lines() {
    for (name, value) in [
        ("x", b"a\r\nb".as_slice()),
        ("connection", b"x"),
        ("transfer-encoding", b"chunked"),
        ("", b"x"),
    ] {
        assert!(
            ResponseHead::of_fields(200, [(name, value)], Asked::default(), true).is_err(),
            "{name}"
        );
    }
    assert!(ResponseHead::of_fields(99, [], Asked::default(), true).is_err());
    assert!(ResponseHead::of_fields(101, [], Asked::default(), true).is_err());
}

#[test]
fn an_answer_of_our_own_has_its_length() {
    let head = ResponseHead::local(404, [("content-type", b"text/plain".as_slice())], 3).unwrap();
    assert_eq!(
        (head.status(), head.body(), head.header("content-length")),
        (404, Body::Length(3), Some(b"3".as_slice()))
    );
    assert_eq!(ResponseHead::local(204, [], 0).unwrap().header("content-length"), None);
    assert!(ResponseHead::local(100, [], 0).unwrap().is_interim());
}
