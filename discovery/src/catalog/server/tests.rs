//! What a replica may answer.

use super::*;

#[test]
fn a_replica_answers_when_it_has_reached_the_version_in_every_kind() {
    let version = |pairs: &[(&str, u64)]| -> Version {
        pairs.iter().map(|(kind, at)| (Arc::from(*kind), *at)).collect()
    };
    let known = version(&[("Service", 5), ("EndpointSlice", 7)]);
    assert!(covers(&known, &known));
    assert!(covers(&version(&[("Service", 6), ("EndpointSlice", 7), ("Pod", 1)]), &known));
    assert!(!covers(&version(&[("Service", 6), ("EndpointSlice", 6)]), &known));
    assert!(!covers(&version(&[("Service", 6)]), &known));
    assert!(covers(&version(&[]), &version(&[])), "a new client is served by anybody");
}
