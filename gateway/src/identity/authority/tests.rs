//! What an authority signs, for whom, and which one it is after a restart.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    RsaKeySize, SanType,
};

use super::UnusableAuthority as No;
use super::*;
use crate::tls::testing::{install, trust};
use crate::tls::trust::{Peers, Side};

const ID: &str = "spiffe://east/ns/spanway/sa/gateway";

fn terms() -> Terms {
    Terms { now: UnixTime::now(), life: SVID_LIFE, serial: [7; 16] }
}

fn east() -> TrustDomain {
    "east".parse().unwrap()
}

fn authority() -> Authority {
    install();
    Authority::make(&east(), terms()).unwrap()
}

fn request(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

fn id(text: &str) -> SpiffeId {
    text.parse().unwrap()
}

#[test]
fn what_is_signed_is_an_svid_that_the_bundle_vouches_for() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let signed = authority.sign(&request(&key), &id(ID), terms()).unwrap();
    let svid = Svid::new(signed.chain, &private_key(&key)).unwrap();
    assert_eq!((svid.id().as_str(), svid.not_after()), (ID, signed.not_after));
    let root = crate::tls::testing::Root::new("unused");
    let mut own = trust("own", "east", &root, &[ID]);
    own.bundle = authority.bundle().into();
    let peers = Peers::only(&own).unwrap();
    let chain: Vec<_> = svid.chain().iter().collect();
    for side in [Side::Client, Side::Server] {
        assert!(peers.authenticate(&chain, side, UnixTime::now()).is_ok());
    }
}

#[test]
fn a_request_gets_nothing_but_its_key_signed() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::default();
    greedy.subject_alt_names = vec![
        SanType::URI("spiffe://east/ns/spanway/sa/controller".try_into().unwrap()),
        SanType::DnsName("kubernetes.default".try_into().unwrap()),
    ];
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    let request = greedy.serialize_request(&key).unwrap();
    let signed = authority.sign(request.der(), &id(ID), terms()).unwrap();
    // An SVID by the rules, so without any of that; and of one name.
    assert_eq!(Svid::new(signed.chain.clone(), &private_key(&key)).unwrap().id().as_str(), ID);
    let (_, leaf) = x509_parser::parse_x509_certificate(&signed.chain[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
}

#[test]
fn a_leaf_lasts_as_long_as_the_terms_say_and_never_longer_than_its_authority() {
    install();
    let now = UnixTime::now();
    let hour = Terms { now, life: Duration::from_hours(1), serial: [1; 16] };
    let long = authority();
    let life = |authority: &Authority, terms| {
        let svid = authority.svid(&id(ID), terms).unwrap();
        svid.not_after().as_secs() - now.as_secs()
    };
    assert_eq!(life(&long, hour), 3600);
    let short = Authority::make(&east(), hour).unwrap();
    assert_eq!(life(&short, Terms { now, ..terms() }), 3600);
    let after = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 3600));
    let refused = short.svid(&id(ID), Terms { now: after, ..terms() }).map(drop);
    assert_eq!(refused, Err(NotSigned::Expired));
}

#[test]
fn each_serial_number_is_the_one_that_was_drawn() {
    let authority = authority();
    let serial = |drawn| {
        let svid = authority.svid(&id(ID), Terms { serial: drawn, ..terms() }).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&svid.chain()[0]).unwrap();
        leaf.raw_serial().to_vec()
    };
    assert_ne!(serial([1; 16]), serial([2; 16]));
    for drawn in [[0; 16], [0xff; 16]] {
        let serial = serial(drawn);
        assert!(serial.len() == 16 && serial[0] & 0x80 == 0, "{serial:?} is positive");
    }
}

#[test]
fn only_workloads_of_the_own_trust_domain_are_signed_for() {
    let authority = authority();
    let request = request(&KeyPair::generate().unwrap());
    for foreign in ["spiffe://west/ns/spanway/sa/gateway", "spiffe://east"] {
        let refused = authority.sign(&request, &id(foreign), terms()).map(drop);
        assert_eq!(refused, Err(NotSigned::Foreign(id(foreign))));
    }
}

#[test]
fn whoever_asks_holds_the_key() {
    let authority = authority();
    let mut request = request(&KeyPair::generate().unwrap());
    let last = request.last_mut().unwrap();
    *last ^= 1;
    let refused = authority.sign(&request, &id(ID), terms()).map(drop);
    assert!(matches!(refused, Err(NotSigned::Signature | NotSigned::Request(_))), "{refused:?}");
}

#[test]
fn keys_are_of_the_named_kinds() {
    let authority = authority();
    let sign = |key: &KeyPair| authority.sign(&request(key), &id(ID), terms()).map(drop);
    for kind in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        assert_eq!(sign(&KeyPair::generate_for(kind).unwrap()), Ok(()));
    }
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    assert_eq!(sign(&rsa), Err(NotSigned::KeyKind));
}

#[test]
fn no_request_makes_it_panic() {
    let authority = authority();
    let request = request(&KeyPair::generate().unwrap());
    for end in 0..request.len() {
        assert!(authority.sign(&request[..end], &id(ID), terms()).is_err());
    }
    let large = vec![0x30; MAX_REQUEST_BYTES + 1];
    let refused = authority.sign(&large, &id(ID), terms()).map(drop);
    assert_eq!(refused, Err(NotSigned::TooLarge(large.len())));
}

#[test]
fn an_authority_that_is_loaded_is_the_one_that_was_kept() {
    let made = authority();
    let loaded = Authority::load(&east(), &made.to_pem(), UnixTime::now()).unwrap();
    assert_eq!(loaded.bundle(), made.bundle());
    assert!(loaded.to_pem() == made.to_pem());
    let svid = loaded.svid(&id(ID), terms()).unwrap();
    let root = crate::tls::testing::Root::new("unused");
    let mut own = trust("own", "east", &root, &[ID]);
    own.bundle = made.bundle().into();
    let leaf = svid.chain()[0].clone();
    let peers = Peers::only(&own).unwrap();
    assert!(peers.authenticate(&[&leaf], Side::Client, UnixTime::now()).is_ok());
}

#[test]
fn half_an_authority_is_none() {
    let pem = authority().to_pem();
    let load = |certificate: &str, key: &str| {
        let pem = AuthorityPem { certificate: certificate.to_owned(), key: key.to_owned() };
        Authority::load(&east(), &pem, UnixTime::now()).map(drop).unwrap_err()
    };
    assert!(matches!(load("", &pem.key), No::Certificate(_)));
    assert!(matches!(load(&pem.certificate, ""), No::Key(_)));
    assert!(matches!(load(&pem.certificate, &pem.key[..pem.key.len() / 2]), No::Key(_)));
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(load(&pem.certificate, &other), No::KeyMismatch);
    let twice = format!("{0}{0}", pem.certificate);
    assert!(matches!(load(&twice, &pem.key), No::Certificate(_)));
}

#[test]
fn a_leaf_is_no_authority() {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let leaf = authority.sign(&request(&key), &id(ID), terms()).unwrap().chain.remove(0);
    let pem = AuthorityPem { certificate: to_pem(&leaf), key: key.serialize_pem() };
    let refused = Authority::load(&east(), &pem, UnixTime::now()).map(drop);
    assert!(matches!(refused, Err(UnusableAuthority::Certificate(_))), "{refused:?}");
}

#[test]
fn an_authority_of_another_trust_domain_or_time_is_refused() {
    let made = authority();
    let west: TrustDomain = "west".parse().unwrap();
    let refused = Authority::load(&west, &made.to_pem(), UnixTime::now()).map(drop);
    assert!(matches!(refused, Err(UnusableAuthority::TrustDomain { .. })), "{refused:?}");
    let refused = Authority::load(&east(), &made.to_pem(), made.not_after()).map(drop);
    assert_eq!(refused, Err(UnusableAuthority::Expired));
}
