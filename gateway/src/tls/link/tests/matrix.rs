//! Certificates of every kind, presented by a caller and by a server: only SVIDs of gateways pass.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, SanType,
};

use super::*;
use crate::tls::testing::{Holder, extension, root_params};

/// What is known before anything is presented.
struct World {
    west: Root,
    /// In the bundle of west beside the first, as while an authority is replaced.
    west_next: Root,
    east: Root,
    north: Root,
}

type Case = (&'static str, Holder, &'static str);

impl World {
    fn new() -> Self {
        Self {
            west: Root::new("west"),
            west_next: Root::new("west next"),
            east: Root::new("east"),
            north: Root::new("north"),
        }
    }

    fn links(&self) -> [LinkTrust; 2] {
        let mut west = trust("west", "west", &self.west, &[WEST]);
        west.bundle = [self.west.der.clone(), self.west_next.der.clone()].into();
        [west, trust("north", "north", &self.north, &[NORTH])]
    }

    /// A leaf of the right authority that is right but for `change`.
    fn but(&self, change: impl FnOnce(&mut CertificateParams)) -> Holder {
        let mut params = leaf_params(WEST);
        change(&mut params);
        self.west.sign(&params)
    }

    fn uri(&self, uri: &str) -> Holder {
        self.west.sign(&leaf_params(uri))
    }

    fn good(&self) -> Vec<Case> {
        let leaf = leaf_params(WEST);
        let below = self.west.below(root_params("below"));
        let twice = below.below(root_params("twice below"));
        let dns = SanType::DnsName("gateway.example".try_into().unwrap());
        let key = |kind| KeyPair::generate_for(kind).unwrap();
        vec![
            ("an SVID", self.west.sign(&leaf)),
            ("below an intermediate", below.sign(&leaf).with(&[&below])),
            ("below two intermediates", twice.sign(&leaf).with(&[&twice, &below])),
            ("intermediates in disorder", twice.sign(&leaf).with(&[&below, &twice])),
            ("P-384", self.west.sign_key(&leaf, key(&rcgen::PKCS_ECDSA_P384_SHA384))),
            ("Ed25519", self.west.sign_key(&leaf, key(&rcgen::PKCS_ED25519))),
            ("the next authority", self.west_next.sign(&leaf)),
            ("a DNS name beside", self.but(|leaf| leaf.subject_alt_names.push(dns))),
            ("no purposes", self.but(|leaf| leaf.extended_key_usages.clear())),
            ("no basic constraints", self.but(|leaf| leaf.is_ca = IsCa::NoCa)),
            ("the root sent along", self.west.sign(&leaf).with(&[&self.west])),
            ("a stranger sent along", self.west.sign(&leaf).with(&[&self.north])),
        ]
        .into_iter()
        .map(|(name, holder)| (name, holder, "accepted"))
        .collect()
    }

    fn untrusted(&self) -> Vec<Case> {
        let leaf = leaf_params(WEST);
        let key = KeyPair::generate().unwrap();
        let own = leaf.self_signed(&key).unwrap().der().clone();
        let below = self.west.below(root_params("below"));
        let stolen =
            Holder { chain: self.west.sign(&leaf).chain, key: KeyPair::generate().unwrap() };
        vec![
            ("an unknown authority", Root::new("x").sign(&leaf), "not_in_bundle"),
            ("the authority's name, another key", Root::new("west").sign(&leaf), "not_in_bundle"),
            ("signed with its own key", Holder { chain: vec![own], key }, "not_in_bundle"),
            ("another link's authority", self.north.sign(&leaf), "not_in_bundle"),
            ("our own authority", self.east.sign(&leaf), "not_in_bundle"),
            ("a missing intermediate", below.sign(&leaf), "not_in_bundle"),
            ("our own trust domain", self.uri(EAST), "unknown_trust_domain"),
            ("our own SVID", self.east.sign(&leaf_params(EAST)), "unknown_trust_domain"),
            (
                "a foreign trust domain",
                self.uri("spiffe://x/ns/spanway/sa/gateway"),
                "unknown_trust_domain",
            ),
            (
                "a trust domain below",
                self.uri("spiffe://a.west/ns/spanway/sa/gateway"),
                "unknown_trust_domain",
            ),
            (
                "another account",
                self.uri("spiffe://west/ns/spanway/sa/controller"),
                "not_a_gateway",
            ),
            ("another namespace", self.uri("spiffe://west/ns/shop/sa/gateway"), "not_a_gateway"),
            ("a longer path", self.uri("spiffe://west/ns/spanway/sa/gateway/x"), "not_a_gateway"),
            ("a shorter path", self.uri("spiffe://west/ns/spanway/sa"), "not_a_gateway"),
            (
                "other letters' case",
                self.uri("spiffe://west/ns/spanway/sa/Gateway"),
                "not_a_gateway",
            ),
            ("somebody else's certificate", stolen, "handshake"),
        ]
    }

    fn out_of_time(&self) -> Vec<Case> {
        let mut params = root_params("below");
        valid(&mut params, -3600, -1);
        let ended = self.west.below(params.clone());
        valid(&mut params, 3600, 7200);
        let ahead = self.west.below(params);
        let leaf = leaf_params(WEST);
        vec![
            ("ended a second ago", self.but(|leaf| valid(leaf, -60, -1)), "expired"),
            ("ended long ago", self.but(|leaf| valid(leaf, -90_000_000, -80_000_000)), "expired"),
            ("not begun", self.but(|leaf| valid(leaf, 600, 3600)), "not_yet_valid"),
            ("an intermediate that ended", ended.sign(&leaf).with(&[&ended]), "expired"),
            ("an intermediate not begun", ahead.sign(&leaf).with(&[&ahead]), "not_yet_valid"),
        ]
    }

    fn bad_names(&self) -> Vec<Case> {
        let names = |uris: &[&str]| {
            let names: Vec<_> =
                uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
            self.but(|leaf| leaf.subject_alt_names = names)
        };
        let dns = SanType::DnsName("gateway.example".try_into().unwrap());
        let long = format!("{WEST}/{}", "a".repeat(2049 - WEST.len() - 1));
        let many: Vec<_> = (0..1500)
            .map(|n| SanType::DnsName(format!("name-{n}.gateway.example").try_into().unwrap()))
            .collect();
        vec![
            ("no name", names(&[])),
            ("a DNS name alone", self.but(|leaf| leaf.subject_alt_names = vec![dns])),
            ("two names", names(&[WEST, NORTH])),
            ("one name twice", names(&[WEST, WEST])),
            ("another scheme", names(&["https://west/ns/spanway/sa/gateway"])),
            ("scheme in upper case", names(&["SPIFFE://west/ns/spanway/sa/gateway"])),
            ("trust domain in upper case", names(&["spiffe://WEST/ns/spanway/sa/gateway"])),
            ("a port", names(&["spiffe://west:443/ns/spanway/sa/gateway"])),
            ("a user", names(&["spiffe://me@west/ns/spanway/sa/gateway"])),
            ("an escape", names(&["spiffe://west/ns/spanway/sa/gatewa%79"])),
            ("a query", names(&["spiffe://west/ns/spanway/sa/gateway?a"])),
            ("no path", names(&["spiffe://west"])),
            ("the root path", names(&["spiffe://west/"])),
            ("an empty segment", names(&["spiffe://west/ns//spanway/sa/gateway"])),
            ("dots", names(&["spiffe://west/ns/x/../spanway/sa/gateway"])),
            ("a trailing slash", names(&["spiffe://west/ns/spanway/sa/gateway/"])),
            ("a NUL", names(&["spiffe://west/ns/spanway/sa/gateway\0"])),
            ("2049 bytes", names(&[&long])),
            ("a host of names", self.but(|leaf| leaf.subject_alt_names.extend(many))),
        ]
        .into_iter()
        .map(|(name, holder)| (name, holder, "bad_svid"))
        .collect()
    }

    fn bad_extensions(&self) -> Vec<Case> {
        let usage = |critical| extension(&[2, 5, 29, 15], &[0x03, 0x02, 0x07, 0x80], critical);
        let purposes = |purposes| self.but(|leaf| leaf.extended_key_usages = purposes);
        vec![
            ("an authority", self.but(|l| l.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            ("may sign", self.but(|l| l.key_usages.push(KeyUsagePurpose::KeyCertSign))),
            ("may revoke", self.but(|l| l.key_usages.push(KeyUsagePurpose::CrlSign))),
            ("no key usage", self.but(|l| l.key_usages.clear())),
            (
                "key usage not critical",
                self.but(|l| {
                    l.key_usages.clear();
                    l.custom_extensions.push(usage(false));
                }),
            ),
            ("no signatures", self.but(|l| l.key_usages = vec![KeyUsagePurpose::KeyAgreement])),
            ("servers only", purposes(vec![ExtendedKeyUsagePurpose::ServerAuth])),
            ("clients only", purposes(vec![ExtendedKeyUsagePurpose::ClientAuth])),
            ("code signing", purposes(vec![ExtendedKeyUsagePurpose::CodeSigning])),
            (
                "an unknown critical extension",
                self.but(|l| l.custom_extensions.push(extension(&[1, 2, 3, 4], &[5, 0], true))),
            ),
            ("an extension twice", self.but(|l| l.custom_extensions.push(usage(true)))),
        ]
        .into_iter()
        .map(|(name, holder)| (name, holder, "bad_svid"))
        .collect()
    }

    fn bad_chains(&self) -> Vec<Case> {
        let leaf = leaf_params(WEST);
        // An SVID that signs another.
        let svid = self.west.below(leaf.clone());
        let mut params = root_params("last");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let last = self.west.below(params);
        let beyond = last.below(root_params("beyond"));
        let mut params = root_params("constrained");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("west".to_owned())],
            excluded_subtrees: Vec::new(),
        });
        let dns = self.west.below(params);
        let mut named = leaf.clone();
        named.subject_alt_names.push(SanType::DnsName("north".try_into().unwrap()));
        let mut params = root_params("no authority");
        params.is_ca = IsCa::ExplicitNoCa;
        let none = self.west.below(params);
        let mut chain = vec![self.west.below(root_params("1"))];
        for n in 2..10 {
            chain.push(chain.last().unwrap().below(root_params(&n.to_string())));
        }
        let deep: Vec<_> = chain.iter().rev().collect();
        vec![
            ("signed by an SVID", svid.sign(&leaf).with(&[&svid])),
            ("an authority too many", beyond.sign(&leaf).with(&[&beyond, &last])),
            ("outside of a name constraint", dns.sign(&named).with(&[&dns])),
            ("signed by no authority", none.sign(&leaf).with(&[&none])),
            ("ten deep", deep[0].sign(&leaf).with(&deep)),
        ]
        .into_iter()
        .map(|(name, holder)| (name, holder, "bad_svid"))
        .collect()
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = self.good();
        cases.extend(self.untrusted());
        cases.extend(self.out_of_time());
        cases.extend(self.bad_names());
        cases.extend(self.bad_extensions());
        cases.extend(self.bad_chains());
        cases
    }
}

/// Every case that came out otherwise than expected.
fn compare(outcomes: Vec<(&'static str, &'static str, &'static str)>) {
    assert!(outcomes.len() >= 60, "only {} certificates", outcomes.len());
    let wrong: Vec<_> =
        outcomes.into_iter().filter(|(_, expected, outcome)| expected != outcome).collect();
    assert!(wrong.is_empty(), "case, expected, outcome: {wrong:#?}");
}

#[tokio::test]
async fn of_all_callers_only_gateways_of_a_link_are_let_in() {
    install();
    let world = World::new();
    let east = East::new(&world.links());
    let mut outcomes = Vec::new();
    for (name, holder, expected) in world.cases() {
        let outcome = east.meets(caller(Some(holder.certified()), &[ALPN_CALLS])).await;
        outcomes.push((name, expected, label(&outcome)));
    }
    outcomes.push((
        "nothing",
        "no_certificate",
        label(&east.meets(caller(None, &[ALPN_CALLS])).await),
    ));
    compare(outcomes);
}

#[tokio::test]
async fn of_all_servers_only_gateways_of_the_link_are_called() {
    install();
    let world = World::new();
    let [west, _] = world.links();
    let mut outcomes = Vec::new();
    for (name, holder, expected) in world.cases() {
        let outcome = dialled(&west, server(holder.certified())).await;
        outcomes.push((name, expected, label(&outcome)));
    }
    compare(outcomes);
}
