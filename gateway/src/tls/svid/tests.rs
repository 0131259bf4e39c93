//! The rules of the X509-SVID standard for a leaf, one test each.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rcgen::{KeyPair, SanType};

use super::*;
use crate::identity::authority::private_key;
use crate::tls::testing::{Root, extension, install, leaf_params, valid};

const ID: &str = "spiffe://east/ns/spanway/sa/gateway";

fn parse(change: impl FnOnce(&mut CertificateParams)) -> Result<Leaf, BadSvid> {
    install();
    let mut params = leaf_params(ID);
    change(&mut params);
    Leaf::parse(&Root::new("root").sign(&params).chain[0])
}

#[test]
fn a_leaf_names_its_holder_and_its_time() {
    let now = UnixTime::now();
    let leaf = parse(|_| {}).unwrap();
    assert_eq!(leaf.id.as_str(), ID);
    assert!(leaf.not_before < now && now < leaf.not_after);
}

#[test]
fn a_leaf_has_exactly_one_uri() {
    assert_eq!(parse(|leaf| leaf.subject_alt_names.clear()), Err(BadSvid::UriCount(0)));
    let second = SanType::URI("spiffe://east/ns/a/sa/b".try_into().unwrap());
    assert_eq!(parse(|leaf| leaf.subject_alt_names.push(second)), Err(BadSvid::UriCount(2)));
}

#[test]
fn other_kinds_of_names_may_stand_beside_the_uri() {
    let dns = SanType::DnsName("gateway.example".try_into().unwrap());
    assert_eq!(parse(|leaf| leaf.subject_alt_names.push(dns)).unwrap().id.as_str(), ID);
}

#[test]
fn the_uri_is_a_spiffe_id() {
    for uri in ["https://east/ns/a/sa/b", "spiffe://East/a", "spiffe://east:1/a", "spiffe://east/"]
    {
        let names = vec![SanType::URI(uri.try_into().unwrap())];
        let parsed = parse(|leaf| leaf.subject_alt_names = names);
        assert!(matches!(parsed, Err(BadSvid::Id(_))), "{uri}: {parsed:?}");
    }
}

#[test]
fn a_leaf_names_a_workload_not_a_trust_domain() {
    let names = vec![SanType::URI("spiffe://east".try_into().unwrap())];
    let parsed = parse(|leaf| leaf.subject_alt_names = names);
    assert_eq!(parsed, Err(BadSvid::RootPath("spiffe://east".parse().unwrap())));
}

#[test]
fn an_authority_is_no_leaf() {
    let parsed = parse(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(parsed, Err(BadSvid::Authority));
}

#[test]
fn a_leaf_without_basic_constraints_is_none_of_an_authority() {
    assert!(parse(|leaf| leaf.is_ca = IsCa::NoCa).is_ok());
}

#[test]
fn a_leaf_says_what_its_key_is_for() {
    assert_eq!(parse(|leaf| leaf.key_usages.clear()), Err(BadSvid::NoKeyUsage));
}

#[test]
fn the_key_usage_is_critical() {
    let usage = extension(&[2, 5, 29, 15], &[0x03, 0x02, 0x07, 0x80], false);
    let parsed = parse(|leaf| {
        leaf.key_usages.clear();
        leaf.custom_extensions.push(usage);
    });
    assert_eq!(parsed, Err(BadSvid::KeyUsageNotCritical));
}

#[test]
fn the_key_signs_handshakes() {
    let parsed = parse(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert_eq!(parsed, Err(BadSvid::NoDigitalSignature));
}

#[test]
fn the_key_signs_neither_certificates_nor_revocation_lists() {
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        assert_eq!(parse(|leaf| leaf.key_usages.push(usage)), Err(BadSvid::MaySign));
    }
}

#[test]
fn purposes_are_both_or_not_named() {
    assert!(parse(|leaf| leaf.extended_key_usages.clear()).is_ok());
    for one in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let parsed = parse(|leaf| leaf.extended_key_usages = vec![one]);
        assert_eq!(parsed, Err(BadSvid::ExtendedKeyUsage));
    }
}

#[test]
fn an_extension_that_stands_twice_makes_a_leaf_unreadable() {
    let again = extension(&[2, 5, 29, 15], &[0x03, 0x02, 0x07, 0x80], true);
    let parsed = parse(|leaf| leaf.custom_extensions.push(again));
    assert!(matches!(parsed, Err(BadSvid::Encoding(_))), "{parsed:?}");
}

#[test]
fn bytes_after_a_certificate_make_it_unreadable() {
    let mut der = Root::new("root").sign(&leaf_params(ID)).chain[0].to_vec();
    der.push(0);
    assert!(matches!(Leaf::parse(&der), Err(BadSvid::Encoding(_))));
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let der = Root::new("root").sign(&leaf_params(ID)).chain[0].to_vec();
    for end in 0..der.len() {
        assert!(Leaf::parse(&der[..end]).is_err(), "cut at {end}");
    }
    for at in 0..der.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut broken = der.clone();
            broken[at] ^= flip;
            // Whether it is still one does not matter here; that it comes back does.
            drop(Leaf::parse(&broken));
        }
    }
}

#[test]
fn a_key_of_another_certificate_makes_no_svid() {
    install();
    let holder = Root::new("root").sign(&leaf_params(ID));
    let other = private_key(&KeyPair::generate().unwrap());
    let refused = Svid::new(holder.chain, &other).map(drop);
    assert_eq!(refused, Err(UnusableSvid::KeyMismatch));
}

#[test]
fn no_certificate_makes_no_svid() {
    let key = private_key(&KeyPair::generate().unwrap());
    assert_eq!(Svid::new(Vec::new(), &key).map(drop), Err(UnusableSvid::Empty));
}

#[test]
fn an_svid_is_valid_from_its_first_to_its_last_second() {
    install();
    let mut params = leaf_params(ID);
    valid(&mut params, 0, 10);
    let svid = Root::new("root").sign(&params).svid();
    let at = |offset: i64| {
        let seconds = svid.not_before().as_secs().checked_add_signed(offset).unwrap();
        svid.is_valid_at(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    };
    assert_eq!([-1, 0, 10, 11].map(at), [false, true, true, false]);
}
