//! What makes a link's trust, and when a certificate's time begins and ends to the second.

use std::time::Duration;

use super::*;
use crate::tls::testing::{Root, install, leaf_params, trust, valid};

const WEST: &str = "spiffe://west/ns/spanway/sa/gateway";

fn own() -> TrustDomain {
    "east".parse().unwrap()
}

fn rejected(links: &[LinkTrust]) -> Vec<(String, InvalidTrust)> {
    let (_, rejected) = Peers::new(&own(), links);
    rejected.into_iter().map(|link| (link.link.to_string(), link.reason)).collect()
}

#[test]
fn a_link_with_our_own_trust_domain_is_rejected() {
    let root = Root::new("east");
    let link = trust("a", "east", &root, &["spiffe://east/ns/spanway/sa/gateway"]);
    let reason = InvalidTrust::Repeated { trust_domain: own(), holder: "this cluster".into() };
    assert_eq!(rejected(&[link]), [("a".to_owned(), reason)]);
}

#[test]
fn of_two_links_with_one_trust_domain_the_first_has_it() {
    let (first, second) = (Root::new("1"), Root::new("2"));
    let links = [trust("a", "west", &first, &[WEST]), trust("b", "west", &second, &[WEST])];
    let (peers, rejected) = Peers::new(&own(), &links);
    let [Distrusted { link, reason: InvalidTrust::Repeated { holder, .. } }] = rejected.as_slice()
    else {
        panic!("{rejected:?}");
    };
    assert_eq!((link.as_ref(), holder.as_ref()), ("b", "a"));
    let leaf = second.sign(&leaf_params(WEST)).chain.remove(0);
    let refused = peers.authenticate(&[&leaf], Side::Client, UnixTime::now()).unwrap_err();
    assert_eq!(refused.reason.label(), "not_in_bundle");
}

#[test]
fn a_bad_link_costs_itself_alone() {
    let root = Root::new("west");
    let good = trust("good", "west", &root, &[WEST]);
    let mut empty = trust("empty", "a", &root, &["spiffe://a/b"]);
    empty.bundle = [].into();
    let mut garbage = trust("garbage", "b", &root, &["spiffe://b/b"]);
    garbage.bundle = [root.der.clone(), CertificateDer::from(vec![1, 2, 3])].into();
    let nobody = trust("nobody", "c", &root, &[]);
    let foreign = trust("foreign", "d", &root, &[WEST]);
    let (peers, rejected) = Peers::new(&own(), &[empty, garbage, good, nobody, foreign]);
    let names: Vec<_> = rejected.iter().map(|link| link.link.as_ref()).collect();
    assert_eq!(names, ["empty", "garbage", "nobody", "foreign"]);
    assert!(matches!(rejected[1].reason, InvalidTrust::Certificate { index: 1, .. }));
    assert_eq!(peers.links().map(AsRef::as_ref).collect::<Vec<_>>(), ["good"]);
}

#[test]
fn a_certificate_counts_from_its_first_to_its_last_second() {
    install();
    let root = Root::new("west");
    let peers = Peers::only(&trust("west", "west", &root, &[WEST])).unwrap();
    let mut params = leaf_params(WEST);
    valid(&mut params, 0, 10);
    let leaf = root.sign(&params).chain.remove(0);
    let begin = Leaf::parse(&leaf).unwrap().not_before.as_secs();
    let at = |offset: i64| {
        let now = Duration::from_secs(begin.checked_add_signed(offset).unwrap());
        peers
            .authenticate(&[&leaf], Side::Client, UnixTime::since_unix_epoch(now))
            .map_or_else(|refused| refused.reason.label(), |_| "accepted")
    };
    assert_eq!([-1, 0, 10, 11].map(at), ["not_yet_valid", "accepted", "accepted", "expired"]);
}

#[test]
fn an_authority_that_signs_for_a_foreign_name_is_told_by_its_link() {
    install();
    let (west, north) = (Root::new("west"), Root::new("north"));
    let links = [
        trust("north", "north", &north, &["spiffe://north/g"]),
        trust("west", "west", &west, &[WEST]),
    ];
    let (peers, _) = Peers::new(&own(), &links);
    let foreign = leaf_params("spiffe://south/ns/spanway/sa/gateway");
    let told_by = |root: &Root| {
        let leaf = root.sign(&foreign).chain.remove(0);
        let refused = peers.authenticate(&[&leaf], Side::Client, UnixTime::now()).unwrap_err();
        assert_eq!(refused.reason.label(), "unknown_trust_domain");
        refused.link.map(|link| link.to_string())
    };
    assert_eq!(told_by(&west), Some("west".to_owned()));
    assert_eq!(told_by(&Root::new("nobody's")), None);
}
