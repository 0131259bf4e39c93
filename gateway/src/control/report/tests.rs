//! Reports arrive as they were sent, and broken ones are refused in words.

use super::*;

fn owner(uid: &str, port: u16) -> PortOwner {
    PortOwner { uid: uid.into(), port }
}

fn report() -> GatewayReport {
    GatewayReport {
        instance: "uid-1".into(),
        pod: Name::new("spanway", "gateway-1"),
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        serving: true,
        draining: false,
        table_version: 7,
        bound: [(20_000, owner("a", 80)), (20_001, owner("b", 443))].into_iter().collect(),
        bind_failures: vec![(20_002, owner("c", 80), "taken".to_owned())],
        links: vec![
            LinkReport {
                link: "west".into(),
                connected: true,
                problem: None,
                age_seconds: 3,
                refused: vec![("expired".into(), 2)],
                services: 5,
            },
            LinkReport {
                link: "north".into(),
                connected: false,
                problem: Some(("PeerRefused".into(), "its time is over".to_owned())),
                age_seconds: NEVER,
                refused: Vec::new(),
                services: 0,
            },
        ],
        strangers: vec![("NoCertificate".into(), 4)],
    }
}

#[test]
fn a_report_arrives_as_it_was_sent() {
    assert_eq!(from_wire(&to_wire(&report())), Ok(report()));
}

#[test]
fn a_port_of_an_unknown_transport_is_left_out() {
    let mut sent = to_wire(&report());
    for transport in [1, 99] {
        sent.bound[0].owner.as_mut().unwrap().transport = transport;
        let read = from_wire(&sent).unwrap();
        assert!(read.bound.iter().eq(&[(20_001, owner("b", 443))]));
    }
}

#[test]
fn a_number_that_is_no_port_is_refused() {
    let mut sent = to_wire(&report());
    sent.bound[0].container_port = 65_536;
    let expected = BadReport::Port { instance: "uid-1".to_owned(), port: 65_536 };
    assert_eq!(from_wire(&sent), Err(expected));
}

#[test]
fn a_port_without_an_owner_is_refused() {
    let mut sent = to_wire(&report());
    sent.bind_failures[0].owner = None;
    let expected = BadReport::Owner { instance: "uid-1".to_owned(), port: 20_002 };
    assert_eq!(from_wire(&sent), Err(expected));
}

#[test]
fn an_address_that_is_none_is_refused() {
    let mut sent = to_wire(&report());
    sent.addresses[1] = "gateway".to_owned();
    assert!(matches!(from_wire(&sent), Err(BadReport::Address { .. })));
}

#[test]
fn a_word_of_the_leader_arrives() {
    let word = LeaderWord { in_slices: true, removed: false };
    let expected = wire::Standing { in_slices: true, removed: false, draining: Vec::new() };
    let sent = word_to_wire(word, &[]).word;
    assert_eq!(sent, Some(wire::report_reply::Word::Standing(expected)));
}
