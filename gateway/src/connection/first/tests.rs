//! First bytes and what they are taken for.

use super::*;

fn check(bytes: &[u8], expected: Kind) {
    assert_eq!(kind(bytes), expected, "{}", bytes.escape_ascii());
}

#[test]
fn a_whole_request_line_is_http() {
    check(b"GET / HTTP/1.1\r\n", Kind::Http(Version::Http1));
    check(b"\r\nPOST /a?b HTTP/1.0\r\nHost: a\r\n", Kind::Http(Version::Http1));
    check(PREFACE, Kind::Http(Version::Http2));
}

#[test]
fn what_could_still_be_a_request_line_is_undecided() {
    for bytes in [&b"G"[..], b"GET /very/long", b"PRI * HT", b"GET / HTTP/1.1\r"] {
        check(bytes, Kind::Undecided);
    }
}

#[test]
fn words_of_other_protocols_are_not_http() {
    let long = [b'A'; FIRST_LINE_BYTES_MAX + 1];
    for bytes in [&b"\x16\x03\x01"[..], b"PING\r\n", b"SET a b\r\n", b"GET /a\r\n", b" x", &long] {
        check(bytes, Kind::Raw);
    }
}
