//! What one bad input costs, and what stays as it was.

use rcgen::KeyPair;

use super::*;
use crate::identity::authority::to_pem;
use crate::tls::testing::{Root, install, leaf_params, trust, valid};

const EAST: &str = "spiffe://east/ns/spanway/sa/gateway";
const WEST: &str = "spiffe://west/ns/spanway/sa/gateway";
const NORTH: &str = "spiffe://north/ns/spanway/sa/gateway";

fn inputs(links: Vec<LinkTrust>) -> Inputs {
    install();
    Inputs {
        own: "east".parse().unwrap(),
        svid: Some(Arc::new(Root::new("east").svid(EAST))),
        links,
        certificates: BTreeMap::new(),
        terminations: HashSet::new(),
    }
}

fn build(inputs: &Inputs, previous: &Credentials) -> (Credentials, Vec<Fault>) {
    Credentials::build(inputs, previous, &Refusals::ignored(), UnixTime::now())
}

fn pair() -> PemPair {
    let holder = Root::new("root").sign(&leaf_params(EAST));
    PemPair {
        chain: to_pem(&holder.chain[0]).into_bytes().into(),
        key: holder.key.serialize_pem().into_bytes().into(),
    }
}

fn with_halved_key(pair: &PemPair) -> PemPair {
    let half = pair.key.len() / 2;
    PemPair { chain: Arc::clone(&pair.chain), key: pair.key[..half].into() }
}

fn termination(names: &[&str]) -> Termination {
    let certificates = names.iter().map(|name| Name::new("shop", name)).collect();
    Termination { certificates, client_auth: ClientAuth::NotAsked }
}

/// East with certificates `a` and `b`, each on a listener of its own.
fn https() -> Inputs {
    let mut inputs = inputs(Vec::new());
    for name in ["a", "b"] {
        inputs.certificates.insert(Name::new("shop", name), pair());
        inputs.terminations.insert(termination(&[name]));
    }
    inputs
}

fn same(a: Option<&Arc<ServerConfig>>, b: Option<&Arc<ServerConfig>>) -> bool {
    a.zip(b).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
}

#[test]
fn a_secret_with_half_a_key_costs_itself_alone() {
    let mut inputs = https();
    let a = Name::new("shop", "a");
    let broken = with_halved_key(&inputs.certificates[&a]);
    inputs.certificates.insert(a.clone(), broken);
    let (built, faults) = build(&inputs, &Credentials::default());
    assert!(built.https(&termination(&["a"])).is_none());
    assert!(built.https(&termination(&["b"])).is_some());
    let [
        Fault::Certificate { certificate, reason: UnusableCertificate::Key(_) },
        Fault::Listener { reason: UnusableListener::NoCertificate, .. },
    ] = faults.as_slice()
    else {
        panic!("{faults:?}");
    };
    assert_eq!(*certificate, a);
}

#[test]
fn a_certificate_that_breaks_leaves_the_last_good_one_in_use() {
    let mut inputs = https();
    let a = Name::new("shop", "a");
    let (before, faults) = build(&inputs, &Credentials::default());
    assert_eq!(faults, []);
    let broken = with_halved_key(&inputs.certificates[&a]);
    inputs.certificates.insert(a.clone(), broken);
    let (after, faults) = build(&inputs, &before);
    assert!(same(before.https(&termination(&["a"])), after.https(&termination(&["a"]))));
    assert!(matches!(faults.as_slice(), [Fault::Certificate { .. }]), "{faults:?}");
    // Removed is not broken: then it is gone.
    inputs.certificates.remove(&a);
    let (gone, _) = build(&inputs, &after);
    assert!(gone.https(&termination(&["a"])).is_none());
}

#[test]
fn a_listener_with_one_good_certificate_of_two_serves() {
    let mut inputs = https();
    let a = Name::new("shop", "a");
    let broken = with_halved_key(&inputs.certificates[&a]);
    inputs.certificates.insert(a, broken);
    inputs.terminations.insert(termination(&["a", "b"]));
    let (built, _) = build(&inputs, &Credentials::default());
    assert!(built.https(&termination(&["a", "b"])).is_some());
}

#[test]
fn what_has_not_changed_keeps_its_sessions() {
    let mut inputs = https();
    let root = Root::new("west");
    inputs.links = vec![trust("west", "west", &root, &[WEST])];
    let (before, _) = build(&inputs, &Credentials::default());
    inputs.certificates.insert(Name::new("shop", "a"), pair());
    let (after, faults) = build(&inputs, &before);
    assert_eq!(faults, []);
    assert!(!same(before.https(&termination(&["a"])), after.https(&termination(&["a"]))));
    assert!(same(before.https(&termination(&["b"])), after.https(&termination(&["b"]))));
    let listener = |built: &Credentials| built.link_listener().map(LinkListener::config);
    assert!(same(listener(&before).as_ref(), listener(&after).as_ref()));
}

#[test]
fn a_change_of_trust_or_identity_ends_the_sessions_of_links() {
    let root = Root::new("west");
    let mut inputs = inputs(vec![trust("west", "west", &root, &[WEST])]);
    let listener = |built: &Credentials| built.link_listener().map(LinkListener::config);
    let (first, _) = build(&inputs, &Credentials::default());
    inputs.links = vec![trust("west", "west", &Root::new("west"), &[WEST])];
    let (second, _) = build(&inputs, &first);
    assert!(!same(listener(&first).as_ref(), listener(&second).as_ref()));
    inputs.svid = Some(Arc::new(Root::new("east").svid(EAST)));
    let (third, _) = build(&inputs, &second);
    assert!(!same(listener(&second).as_ref(), listener(&third).as_ref()));
}

#[test]
fn a_link_that_repeats_a_trust_domain_costs_itself_alone() {
    let (west, north) = (Root::new("west"), Root::new("north"));
    let inputs = inputs(vec![
        trust("west", "west", &west, &[WEST]),
        trust("copy", "west", &north, &[WEST]),
        trust("self", "east", &north, &[EAST]),
        trust("north", "north", &north, &[NORTH]),
    ]);
    let (built, faults) = build(&inputs, &Credentials::default());
    let dialled = ["west", "copy", "self", "north"].map(|link| built.link(link).is_some());
    assert_eq!(dialled, [true, false, false, true]);
    let rejected: Vec<_> = faults
        .iter()
        .map(|fault| match fault {
            Fault::Link { link, reason: InvalidTrust::Repeated { .. } } => link.as_ref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rejected, ["copy", "self"]);
}

#[test]
fn a_link_that_goes_takes_its_trust_along() {
    let root = Root::new("west");
    let mut inputs = inputs(vec![trust("west", "west", &root, &[WEST])]);
    let (before, _) = build(&inputs, &Credentials::default());
    assert!(before.link("west").is_some());
    inputs.links.clear();
    let (after, _) = build(&inputs, &before);
    assert!(after.link("west").is_none());
}

#[test]
fn without_an_identity_in_its_time_no_link_works_and_https_does() {
    let mut inputs = https();
    inputs.links = vec![trust("west", "west", &Root::new("west"), &[WEST])];
    let (before, _) = build(&inputs, &Credentials::default());
    assert!(before.link_listener().is_some());
    let mut params = leaf_params(EAST);
    valid(&mut params, -60, -1);
    inputs.svid = Some(Arc::new(Root::new("east").sign(&params).svid()));
    let (after, faults) = build(&inputs, &before);
    assert_eq!(faults, [Fault::SvidOutOfTime]);
    assert!(after.svid().is_none() && after.link_listener().is_none());
    assert!(after.link("west").is_none());
    assert!(after.https(&termination(&["a"])).is_some());
}

#[test]
fn no_secret_stands_in_what_is_written_for_people() {
    let mut inputs = https();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let pem = PemPair { chain: Arc::from([]), key: key.clone().into_bytes().into() };
    inputs.certificates.insert(Name::new("shop", "c"), pem);
    let (built, faults) = build(&inputs, &Credentials::default());
    let written = format!("{inputs:?} {built:?} {faults:?}");
    let line = key.lines().nth(1).unwrap();
    assert!(!written.contains(line));
    let bytes = format!("{:?}", key.as_bytes());
    assert!(!written.contains(&bytes[1..bytes.len() - 1]));
}
