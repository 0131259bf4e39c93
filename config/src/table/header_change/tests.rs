//! What is written ahead says the same as the fields.

use super::*;

fn field(name: &'static str, value: &'static str) -> HeaderField {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

fn change() -> HeaderChange {
    let set = vec![field("x-a", "1"), field("x-gone", "1")];
    let remove = vec![HeaderName::from_static("x-gone"), HeaderName::from_static("x-b")];
    HeaderChange::new(set, vec![field("x-a", "2")], remove)
}

#[test]
fn the_lines_are_those_that_nothing_takes_away() {
    assert_eq!(change().lines(), b"x-a: 1\r\nx-a: 2\r\n");
    let added: Vec<_> = change().added().cloned().collect();
    assert_eq!(added, [field("x-a", "1"), field("x-a", "2")]);
}

#[test]
fn what_is_replaced_or_removed_is_dropped() {
    let change = change();
    let dropped: Vec<_> = change.dropped().map(HeaderName::as_str).collect();
    assert_eq!(dropped, ["x-a", "x-gone", "x-gone", "x-b"]);
}

#[test]
fn the_marks_meet_those_of_each_name_in_any_case() {
    for name in ["x-a", "X-A", "x-gone", "X-Gone", "x-b"] {
        assert!(change().marks().meet(NameMarks::of(name.as_bytes())), "{name}");
    }
    assert!(!change().marks().meet(NameMarks::of(b"content-type")));
    assert!(!change().marks().meet(NameMarks::default()));
}
