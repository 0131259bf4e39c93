//! Many bytes at once are judged as one after the other.
use proptest::prelude::*;

use super::*;

/// Labels of every length, with what must not stand between them.
fn hosts() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        "[a-zA-Z0-9_-]{0,20}",
        "[a-z]{60,70}",
        Just(String::new()),
        Just("a b".to_owned()),
    ];
    let end =
        prop_oneof![Just(""), Just("."), Just(":80"), Just(".:1"), Just(":0"), Just(":65536")];
    (prop::collection::vec(label, 1..7), end)
        .prop_map(|(labels, end)| format!("{}{end}", labels.join(".")))
}

/// The name of a host that keeps the rules.
fn reference(host: &str) -> Option<&str> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.bytes().all(is_fit)
    };
    let fits = name.len() <= limits::HOST_BYTES && name.split('.').all(is_label);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port);
    (fits && port.is_none_or(is_port)).then_some(name)
}

proptest! {
    #[test]
    fn a_host_is_labels_with_a_dot_between_two_and_perhaps_a_port(host in hosts()) {
        let expected = reference(&host).map(|name| Judged {
            name: name.len(),
            capitals: name.bytes().any(|b| b.is_ascii_uppercase()),
        });
        prop_assert_eq!(check(host.as_bytes()).ok(), expected);
    }
}

#[test]
fn an_address_keeps_its_brackets() {
    let judged = |host: &[u8]| check(host).ok().map(|judged| (judged.name, judged.capitals));
    assert_eq!(judged(b"[::1]"), Some((5, false)));
    assert_eq!(judged(b"[2001:DB8::1]:8080"), Some((13, true)));
    for host in ["[::1", "[]", "[::1]8080", "[::1]:", "[a.b]", "[::1]."] {
        assert_eq!(judged(host.as_bytes()), None, "{host}");
    }
}
