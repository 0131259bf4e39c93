//! A head that goes on over HTTP/2 is the same whether it came over HTTP/2 or in lines.

use super::*;
use crate::http::h1::OwnLines;

static ID: OwnField = OwnField::new("x-request-id: ");
static PROTO: OwnField = OwnField::new("x-forwarded-proto: ");

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn map(fields: Pairs<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    }
    map
}

fn parts(fields: Pairs<'_>) -> http::request::Parts {
    let mut request = Request::post("https://shop.test:8443/a%20b?c=d").body(()).unwrap();
    *request.headers_mut() = map(fields);
    request.into_parts().0
}

fn came(fields: Pairs<'_>) -> RequestHead {
    request_head(parts(fields), false).unwrap()
}

fn answered(fields: Pairs<'_>) -> ResponseHead {
    let mut response = Response::new(());
    *response.headers_mut() = map(fields);
    response_head(response.into_parts().0, Asked::default(), false).unwrap()
}

/// The same head, as if it had come in lines.
fn in_lines(head: &RequestHead) -> RequestHead {
    let mut head = head.clone();
    head.parts = None;
    head
}

#[track_caller]
fn goes_on_as(head: &RequestHead, changes: &[Change<'_>], expected: Pairs<'_>) -> Uri {
    let (as_read, as_lines) = (request(head, changes), request(&in_lines(head), changes));
    let (as_read, as_lines) = (as_read.unwrap(), as_lines.unwrap());
    assert_eq!(as_read.headers(), &map(expected));
    assert_eq!(as_lines.headers(), &map(expected));
    assert_eq!(as_read.method(), as_lines.method());
    assert_eq!(as_read.uri(), as_lines.uri());
    as_read.uri().clone()
}

#[test]
fn fields_go_on_as_they_were_read() {
    let head = came(&[("x", "1"), ("accept", "*/*"), ("x", "2")]);
    assert!(head.parts.is_some());
    let uri = goes_on_as(&head, &[], &[("x", "1"), ("accept", "*/*"), ("x", "2")]);
    assert_eq!(uri, "http://shop.test:8443/a%20b?c=d");
}

#[test]
fn what_ends_here_does_not_go_on() {
    let fields = [("host", "shop.test:8443"), ("expect", "100-continue"), ("te", "trailers")];
    goes_on_as(&came(&fields), &[], &[("te", "trailers")]);
}

#[test]
fn changes_are_made_of_what_was_read() {
    let claims = [("x-request-id", "claimed"), ("x-forwarded-proto", "claimed")];
    let head = came(&[("x", "1"), ("y", "1"), claims[0], claims[1]]);
    let field = |name| (HeaderName::from_static(name), HeaderValue::from_static("2"));
    let accept = HeaderName::from_static("accept");
    let filter = HeaderChange::new(vec![field("x")], vec![field("y")], vec![accept]);
    let lines = OwnLines::new([(&PROTO, b"https")]);
    let changes = [Change::Own(&ID, b"own"), Change::OwnLines(&lines), Change::Filter(&filter)];
    let expected = [
        ("x", "2"),
        ("y", "1"),
        ("y", "2"),
        ("x-request-id", "own"),
        ("x-forwarded-proto", "https"),
    ];
    goes_on_as(&head, &changes, &expected);
}

#[test]
fn a_filter_has_the_last_word_on_own_lines() {
    let lines = OwnLines::new([(&PROTO, b"https"), (&ID, b"own")]);
    let told = (PROTO.name().clone(), HeaderValue::from_static("told"));
    let filter = HeaderChange::new(vec![told], Vec::new(), vec![ID.name().clone()]);
    let changes = [Change::OwnLines(&lines), Change::Filter(&filter)];
    goes_on_as(&came(&[]), &changes, &[("x-forwarded-proto", "told")]);
}

#[test]
fn a_value_with_spaces_around_it_goes_on_without() {
    let head = came(&[("x", " 1\t"), ("y", "2")]);
    assert!(head.parts.is_none());
    goes_on_as(&head, &[], &[("x", "1"), ("y", "2")]);
    let answer = response(answered(&[("x", "\t1")]), &[]).unwrap();
    assert_eq!(answer.headers(), &map(&[("x", "1")]));
}

#[test]
fn an_answer_goes_on_as_it_was_read() {
    let head = answered(&[("x", "1"), ("content-length", "3")]);
    let mut lines = head.clone();
    lines.map = None;
    let changes = [Change::Remove("x")];
    let answers = [response(head, &changes).unwrap(), response(lines, &changes).unwrap()];
    for answer in answers {
        assert_eq!(answer.headers(), &map(&[("content-length", "3")]));
    }
}

#[test]
fn what_never_comes_again_is_not_put_into_the_table_of_the_peer() {
    let changes = [Change::Own(&ID, b"own"), Change::Own(&PROTO, b"https")];
    let sent = request(&came(&[]), &changes).unwrap();
    assert!(sent.headers().get(ID.name()).unwrap().is_sensitive());
    assert!(!sent.headers().get(PROTO.name()).unwrap().is_sensitive());
}

#[test]
fn what_may_not_be_put_into_a_table_may_not_at_the_next_hop() {
    let mut parts = parts(&[("authorization", "secret")]);
    parts.headers.get_mut("authorization").unwrap().set_sensitive(true);
    let sent = request(&request_head(parts, true).unwrap(), &[]).unwrap();
    assert!(sent.headers().get("authorization").unwrap().is_sensitive());
}
