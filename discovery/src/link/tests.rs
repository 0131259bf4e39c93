//! Which links are sound.

use serde_json::{Value, json};

use super::*;
use crate::samples::{BUNDLE, cluster_link, link};

fn read_all(objects: Vec<(Name, Arc<ClusterLink>)>) -> (Vec<Link>, Vec<LinkRejection>) {
    let own = Own { cluster: "own", trust_domain: &"own.example".parse().unwrap() };
    links(&objects.into_iter().collect(), own, &|it: &BundleRef| {
        (it.name == "known").then(|| BUNDLE.into())
    })
}

/// The reason for which a link with `spec` over the usual one is refused.
fn check(spec: &Value, expected: Option<LinkReason>) {
    let (_, rejections) = read_all(vec![cluster_link("west", &json!({"spec": spec}))]);
    assert_eq!(rejections.first().map(|it| it.reason), expected, "{spec}");
}

#[test]
fn the_gateways_are_the_charts_unless_said_otherwise() {
    let ids: Vec<_> = link("west", &json!({})).gateways.iter().map(ToString::to_string).collect();
    assert_eq!(
        ids,
        ["gateway", "controller"]
            .map(|who| format!("spiffe://west.example/ns/spanway-system/sa/spanway-{who}"))
    );
}

#[test]
fn a_gateway_of_another_trust_domain_is_no_peer() {
    let id = |id: &str| json!({"gateways": [id]});
    check(&id("spiffe://west.example/ns/a/sa/b"), None);
    check(&id("spiffe://east.example/ns/a/sa/b"), Some(LinkReason::InvalidGateway));
    check(&id("spiffe://west.example"), Some(LinkReason::InvalidGateway));
    check(&id("west"), Some(LinkReason::InvalidGateway));
}

#[test]
fn a_link_that_repeats_our_trust_domain_is_refused() {
    check(&json!({"trustDomain": "own.example"}), Some(LinkReason::OwnTrustDomain));
    check(&json!({"trustDomain": "West"}), Some(LinkReason::InvalidTrustDomain));
}

#[test]
fn a_link_that_names_our_own_cluster_is_refused() {
    check(&json!({"cluster": "own"}), Some(LinkReason::OwnCluster));
    let (links, rejections) =
        read_all(vec![cluster_link("own", &json!({})), cluster_link("west", &json!({}))]);
    assert_eq!(rejections[0].reason, LinkReason::OwnCluster);
    assert_eq!(rejections[0].message, "the cluster own is this cluster itself");
    assert_eq!(links.len(), 1, "its neighbour stays");
}

#[test]
fn a_newcomer_takes_no_trust_domain_over() {
    let at = |time: &str| {
        json!({"metadata": {"creationTimestamp": time},
        "spec": {"trustDomain": "same.example"}})
    };
    let newer = cluster_link("a", &at("2026-01-02T00:00:00Z"));
    let older = cluster_link("b", &at("2026-01-01T00:00:00Z"));
    let (links, rejections) = read_all(vec![newer, older]);
    assert_eq!(&*links[0].name, "b");
    assert_eq!(rejections[0].reason, LinkReason::DuplicateTrustDomain);
    assert_eq!(rejections[0].object.to_string(), "ClusterLink a");
    assert_eq!(rejections[0].generation, Some(7));
}

#[test]
fn a_bundle_must_be_there() {
    check(&json!({"bundle": null}), Some(LinkReason::InvalidBundle));
    check(&json!({"bundle": "no certificate"}), Some(LinkReason::InvalidBundle));
    check(&json!({"bundle": null, "bundleRef": {"name": "known"}}), None);
    let unknown = json!({"bundle": null, "bundleRef": {"name": "unknown"}});
    check(&unknown, Some(LinkReason::InvalidBundle));
}

#[test]
fn an_address_is_a_name_or_an_ip_with_or_without_a_port() {
    let parse = |text: &str| Address::parse(text).map(|address| address.to_string());
    assert_eq!(parse("192.0.2.1").as_deref(), Some("192.0.2.1:15443"));
    assert_eq!(parse("192.0.2.1:443").as_deref(), Some("192.0.2.1:443"));
    assert_eq!(parse("fd00::1").as_deref(), Some("[fd00::1]:15443"));
    assert_eq!(parse("[fd00::1]:443").as_deref(), Some("[fd00::1]:443"));
    assert_eq!(parse("West.Example.:99").as_deref(), Some("west.example:99"));
    for text in ["", "a b", "192.0.2.256", "x:0", "x:70000", "-x", "http://x", "a..b"] {
        assert_eq!(parse(text), None, "{text}");
    }
    check(&json!({"addresses": []}), Some(LinkReason::InvalidAddress));
}

#[test]
fn a_broken_link_leaves_its_neighbours() {
    let broken = cluster_link("a", &json!({"spec": {"addresses": ["!"]}}));
    let (links, rejections) = read_all(vec![broken, cluster_link("b", &json!({}))]);
    assert_eq!((links.len(), rejections.len()), (1, 1));
}
