//! What a replica may answer.

use super::*;
use crate::catalog::Offer;

#[test]
fn a_replica_answers_when_it_has_reached_the_version_in_every_kind() {
    let version = |pairs: &[(&str, u64)]| -> Version {
        pairs.iter().map(|(kind, at)| (Arc::from(*kind), *at)).collect()
    };
    let covers = |told: &[(&str, u64)], reached: &[(&str, u64)], known: &[(&str, u64)]| {
        let catalog = Catalog { version: version(told), ..Catalog::default() };
        let offer = Offer { catalog, reached: version(reached), ..Offer::default() };
        offer.covers(&version(known))
    };
    let known: &[_] = &[("Service", 5), ("EndpointSlice", 7)];
    assert!(covers(known, &[], known));
    assert!(covers(&[("Service", 6), ("EndpointSlice", 7), ("Namespace", 1)], &[], known));
    assert!(!covers(&[("Service", 6), ("EndpointSlice", 6)], &[], known));
    assert!(!covers(&[("Service", 6)], &[], known));
    // The slice of version 7 was deleted before this replica began: no object says 7.
    assert!(covers(&[("Service", 5)], &[("EndpointSlice", 9)], known));
    assert!(covers(&[], &[], &[]), "a new client is served by anybody");
}
