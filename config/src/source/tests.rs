//! The rules of what a source says about itself.

use super::*;

fn failing(heard: Instant) -> KindState {
    KindState { listed: true, missing: false, heard: Some(heard), failing: Some("gone".into()) }
}

#[test]
fn the_state_is_as_old_as_the_failing_kind_that_is_silent_longest() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut state = SourceState::default();
    let fine = KindState { failing: None, ..failing(start) };
    state.kinds.insert(Kind::Gateway, fine);
    assert_eq!(state.age(start + 9 * second), None, "a quiet kind is not an old one");
    state.kinds.insert(Kind::Service, failing(start + 3 * second));
    state.kinds.insert(Kind::Secret, failing(start + 5 * second));
    assert_eq!(state.age(start + 9 * second), Some(6 * second));
}

#[test]
fn a_version_is_reached_when_it_is_in_every_kind() {
    let mut state = SourceState::default();
    state.reach(Kind::Service, 7);
    state.reach(Kind::Service, 5);
    let asked = |versions: &[(Kind, u64)]| versions.iter().copied().collect::<Versions>();
    assert!(state.has_reached(&asked(&[(Kind::Service, 7)])));
    assert!(!state.has_reached(&asked(&[(Kind::Service, 8)])));
    assert!(!state.has_reached(&asked(&[(Kind::Service, 7), (Kind::EndpointSlice, 1)])));
}
