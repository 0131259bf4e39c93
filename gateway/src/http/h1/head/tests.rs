//! What the request path asks of a head.
use super::super::scan::Scanner;
use super::*;

fn request(bytes: &str) -> RequestHead {
    let scanned = Scanner::default().scan(bytes.as_bytes()).unwrap().unwrap();
    RequestHead::judge(bytes.as_bytes(), scanned).unwrap()
}

#[test]
fn path_and_query_part_at_the_first_question_mark() {
    let head = request("GET /a/b?c=d?e HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d?e")));
    let head = request("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.path(), head.query()), ("/a", None));
}

#[test]
fn the_host_is_told_without_port_and_last_dot() {
    for (host, name, port) in [
        ("A.example.:80", "A.example", Some(80)),
        ("a", "a", None),
        ("[::1]:8080", "[::1]", Some(8080)),
        ("[::1]", "[::1]", None),
        ("10.0.0.1:1", "10.0.0.1", Some(1)),
    ] {
        let head = request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(
            (head.host(), head.host_name(), head.host_port()),
            (host, name.as_bytes(), port)
        );
    }
}

#[test]
fn fields_are_found_in_any_case_and_in_order() {
    let head = request("GET / HTTP/1.1\r\nHost: x\r\nA: 1 \r\nB: 2\r\na:\t3\r\n\r\n");
    assert_eq!(head.header("a"), Some(b"1".as_slice()));
    assert_eq!(head.headers("A").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(head.header("c"), None);
    assert_eq!(head.fields().count(), 4);
}

#[test]
fn what_is_translated_holds_no_field_of_the_connection() {
    let head = request(
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, b\r\nKeep-Alive: 1\r\nTE: trailers\r\nA: 1\r\nB: 2\r\n\r\n",
    );
    let names: Vec<_> = head.end_to_end().map(|(name, _)| text(name)).collect();
    assert_eq!(names, ["Host", "A"]);
    assert!(head.accepts_trailers() && !head.keep_alive());
}

#[test]
fn a_connection_is_kept_as_the_version_says() {
    for (version, option, kept) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let head = request(&format!("GET / HTTP/{version}\r\nHost: x\r\n{option}\r\n"));
        assert_eq!(head.keep_alive(), kept, "{version} {option}");
    }
}
