//! The two messages, whole and broken.

use super::*;

fn body(message: &[u8]) -> &[u8] {
    let length = usize::from(u16::from_be_bytes([message[0], message[1]]));
    assert_eq!(length, message.len() - 2, "the length counts what follows it");
    &message[2..]
}

#[test]
fn a_message_is_read_as_it_was_written() {
    let hello = Hello { request_id: Some("id-1".into()) };
    assert_eq!(Hello::decode(body(&hello.encode())).unwrap(), hello);
    let accepted = Answer::Accepted { instance: "gateway-0".into() };
    assert_eq!(Answer::decode(body(&accepted.encode())).unwrap(), accepted);
    let refused = Answer::refused(RefusedCode::NotExported, "not for you");
    assert_eq!(Answer::decode(body(&refused.encode())).unwrap(), refused);
}

#[test]
fn unknown_fields_and_codes_are_no_error() {
    let mut hello = Hello { request_id: Some("id".into()) }.encode();
    hello.extend_from_slice(&[0x7f, 0xff, 0, 2, 1, 2]);
    assert_eq!(Hello::decode(&hello[2..]).unwrap().request_id.as_deref(), Some("id"));
    let refused = Answer::refused(RefusedCode::Other(999), "new");
    assert_eq!(Answer::decode(body(&refused.encode())).unwrap(), refused);
}

#[test]
fn a_cut_message_is_refused_wherever_it_is_cut() {
    let whole = Answer::Accepted { instance: "gateway-0".into() }.encode();
    for end in 2..whole.len() {
        assert!(Answer::decode(&whole[2..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn text_that_would_forge_a_log_line_is_refused() {
    let hello = Hello { request_id: Some("a\nb".into()) };
    assert!(Hello::decode(body(&hello.encode())).is_err());
}
