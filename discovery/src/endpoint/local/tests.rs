//! Which endpoints slices name.

use serde_json::{Value, json};

use super::*;
use crate::export::port;
use crate::samples::{leaving, pod, ready, service, slice, slices};

fn ports() -> Vec<CatalogPort> {
    let spec = service(&json!({})).spec.unwrap();
    spec.ports.iter().flatten().filter_map(port).collect()
}

/// The addresses for new requests.
fn check(endpoints: &[Value], expected: &[&str]) {
    let read = read(&ports(), &slices(endpoints), "salt");
    let mut found: Vec<_> =
        usable(&read).filter_map(|(_, it)| it.address(80)).map(|it| it.to_string()).collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn only_ready_endpoints_get_new_requests() {
    let dead = pod("c", "10.0.0.3", &json!({"ready": false}));
    check(&[ready("a", "10.0.0.1"), leaving("b", "10.0.0.2"), dead], &["10.0.0.1:8080"]);
}

#[test]
fn without_a_ready_one_those_that_leave_are_used() {
    let gone = pod("c", "10.0.0.3", &json!({"ready": false, "terminating": true}));
    check(&[leaving("b", "10.0.0.2"), gone], &["10.0.0.2:8080"]);
}

#[test]
fn an_endpoint_that_says_nothing_is_ready() {
    check(&[pod("a", "10.0.0.1", &json!({}))], &["10.0.0.1:8080"]);
}

#[test]
fn addresses_that_no_endpoint_can_have_are_left_out() {
    let odd = ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "x"];
    let odd: Vec<Value> = odd.iter().map(|ip| ready("a", ip)).collect();
    check(&odd, &[]);
}

#[test]
fn slices_of_ours_name_no_endpoint() {
    let ours = json!({"metadata": {"labels": {"spanway.dev/managed-by": "spanway"}}});
    let ours = slice(&[ready("a", "10.0.0.1")], &ours);
    let slices = ServiceSlices::unit("web-1".into(), Arc::new(ours));
    assert!(read(&ports(), &slices, "salt").is_empty());
}

#[test]
fn a_pod_in_the_slices_of_both_families_is_one_endpoint() {
    let v6 = json!({"metadata": {"name": "web-2"}, "addressType": "IPv6"});
    let mut both = slices(&[ready("a", "10.0.0.1")]);
    both.insert("web-2".into(), Arc::new(slice(&[ready("a", "fd00::1")], &v6)));
    assert_eq!(read(&ports(), &both, "salt").len(), 1);
}

#[test]
fn ids_are_stable_opaque_labels_and_change_with_the_pod() {
    let id = |name: &str, ip: &str, salt: &str| {
        read(&ports(), &slices(&[ready(name, ip)]), salt).into_keys().next().unwrap()
    };
    let first = id("a", "10.0.0.1", "salt");
    assert_eq!(first, id("a", "10.0.0.1", "salt"));
    assert_ne!(first, id("b", "10.0.0.1", "salt"), "another pod at the same address");
    assert_ne!(first, id("a", "10.0.0.2", "salt"));
    assert_ne!(first, id("a", "10.0.0.1", "other"), "nobody without the salt can guess it");
    assert_eq!(first.0.len(), 26);
    assert!(first.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
}

#[test]
fn base32_is_that_of_rfc_4648() {
    assert_eq!(base32(b"foobar"), "mzxw6ytboi");
    assert_eq!(base32(b"f"), "my");
}
