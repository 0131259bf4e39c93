//! What is written is read again; what cannot be is not believed.

use super::*;
use crate::catalog::{Catalog, apply, diff};
use crate::samples::catalog;

#[test]
fn a_catalog_survives_the_wire() {
    let mut sent = catalog(3, &[("web", &["a", "b"]), ("api", &[])]);
    sent.draining = imbl::OrdSet::unit("gateway-1".into());
    sent.drained_percent = 40;
    let mut changes: VecDeque<Change> = diff(&Catalog::default(), &sent).into();
    let part = next_part(&mut changes, true);
    let part = pb::Update::decode(&*part.encode_to_vec()).unwrap();
    let mut got = Catalog::default();
    for change in read_part(part) {
        apply(&mut got, change.unwrap());
    }
    for change in read_state(state(&sent)).unwrap() {
        apply(&mut got, change);
    }
    assert_eq!(got, sent);
}

#[test]
fn a_large_update_goes_in_bounded_parts() {
    let ids: Vec<String> = (0..20_000).map(|n| format!("endpoint-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let sent = catalog(1, &[("web", &ids)]);
    let mut changes: VecDeque<Change> = diff(&Catalog::default(), &sent).into();
    let mut parts = 0;
    while !changes.is_empty() {
        assert!(next_part(&mut changes, true).encoded_len() < MESSAGE_BYTES_MAX);
        parts += 1;
    }
    assert!(parts > 1);
}

#[test]
fn a_field_of_a_later_version_is_ignored() {
    let mut bytes = pb::Update { snapshot: true, ..pb::Update::default() }.encode_to_vec();
    // Field 99, of a length of two bytes.
    bytes.extend([0x9a, 0x06, 2, b'x', b'y']);
    assert!(pb::Update::decode(&*bytes).unwrap().snapshot);
}

fn invalid(change: impl FnOnce(&mut pb::Service)) -> bool {
    let name = pb::ServiceName { namespace: "shop".into(), name: "web".into() };
    let port = pb::Port { number: 80, transport: "TCP".into(), ..pb::Port::default() };
    let mut service = pb::Service { name: Some(name), ports: vec![port], ..pb::Service::default() };
    change(&mut service);
    read_part(pb::Update { services: vec![service], ..pb::Update::default() })[0].is_err()
}

#[test]
fn names_that_cannot_be_are_refused() {
    let named = |name: &str| {
        let name = name.to_owned();
        invalid(|service| service.name.as_mut().unwrap().name = name)
    };
    assert!(!named("web"));
    for name in ["", "Web", "a.b", "-a", "a-", "a/b", "../x", &"a".repeat(64)] {
        assert!(named(name), "{name}");
    }
    assert!(invalid(|service| service.name = None));
}

#[test]
fn ports_that_cannot_be_are_refused() {
    assert!(invalid(|service| service.ports[0].number = 0));
    assert!(invalid(|service| service.ports[0].number = 65_536));
    assert!(invalid(|service| service.ports = vec![service.ports[0].clone(); 101]));
    assert!(!invalid(|service| service.ports[0].transport = "QUIC".into()), "costs itself");
}

#[test]
fn an_endpoint_id_is_a_label_of_at_most_forty() {
    let read = |id: &str| read_id(id.to_owned()).is_ok();
    assert!(read(&"a".repeat(40)));
    assert!(!read(&"a".repeat(41)));
    assert!(!read("a.b"));
}

#[test]
fn a_condition_never_quotes_control_characters() {
    let why = read_label("service", "a\r\nb\u{1b}".to_owned()).unwrap_err().to_string();
    assert!(!why.contains(char::is_control));
}
