use super::{RequestId, TraceParent};

const SENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Draws these numbers, one after the other.
fn draw<const N: usize>(numbers: [u64; N]) -> impl FnMut() -> u64 {
    let mut numbers = numbers.into_iter();
    move || numbers.next().unwrap()
}

fn id(sent: &str) -> String {
    RequestId::take_or_make(Some(sent.as_bytes()), &mut draw([0, 7])).as_str().to_owned()
}

fn text(trace: &TraceParent) -> String {
    String::from_utf8(trace.text().to_vec()).unwrap()
}

#[test]
fn harmless_request_id_is_taken_over() {
    assert_eq!(id("a1b2-C3_d.4:5"), "a1b2-C3_d.4:5");
}

#[test]
fn long_empty_or_odd_request_id_is_replaced() {
    for sent in ["", "a b", "a\"b", "ä", &"x".repeat(65)] {
        assert_eq!(id(sent), format!("{:032x}", 7), "{sent:?}");
    }
}

#[test]
fn trace_goes_on_with_a_span_of_our_own() {
    let sent = TraceParent::parse(SENT.as_bytes());
    let next = TraceParent::next(sent.as_ref(), &mut draw([0xabc]));
    assert_eq!(text(&next), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01");
}

#[test]
fn new_trace_is_not_sampled() {
    let new = TraceParent::next(None, &mut draw([0, 0, 0]));
    assert_eq!(text(&new), format!("00-{:032x}-{:016x}-00", 1, 1));
    let new = TraceParent::next(None, &mut draw([1 << 60, 2, 3]));
    assert_eq!(text(&new), format!("00-{:016x}{:016x}-{:016x}-00", 1_u64 << 60, 2, 3));
}

#[test]
fn later_version_may_have_more_parts() {
    assert!(TraceParent::parse(format!("01{}-more", &SENT[2..]).as_bytes()).is_some());
}

#[test]
fn invalid_trace_is_not_taken_over() {
    let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    let zero_parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
    let more = format!("{SENT}-more");
    let upper = SENT.to_uppercase();
    for sent in ["", "00", "ff-1-1-1", &zero_trace, &zero_parent, &more, &upper, &SENT[1..]] {
        assert_eq!(TraceParent::parse(sent.as_bytes()), None, "{sent}");
    }
}
