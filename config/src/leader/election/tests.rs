//! The rules of the election.

use super::*;

fn held(holder: &str, renewed: i64) -> Lease {
    let renewed = Timestamp::from_second(renewed).expect("it is a time");
    let mut lease = claimed(None, "spanway", holder, renewed);
    lease.metadata.resource_version = Some("7".to_owned());
    lease
}

fn decide_at(lease: &Lease, seen: &mut Option<Observed>, now: Instant) -> Step {
    decide(Some(lease), "me", seen, now)
}

#[test]
fn a_lease_that_is_not_there_is_made() {
    let step = decide(None, "me", &mut None, Instant::now());
    assert_eq!(step, Step::Claim(Claim::Create));
}

#[test]
fn a_lease_of_another_is_taken_only_after_it_was_silent_for_as_long_as_it_says() {
    let start = Instant::now();
    let mut seen = None;
    let lease = held("other", 0);
    assert_eq!(decide_at(&lease, &mut seen, start), Step::Wait, "however old it says it is");
    let almost = start + LEASE - Duration::from_millis(1);
    assert_eq!(decide_at(&lease, &mut seen, almost), Step::Wait);
    assert_eq!(decide_at(&held("other", 5), &mut seen, almost), Step::Wait, "it was renewed");
    assert_eq!(decide_at(&held("other", 5), &mut seen, start + LEASE), Step::Wait);
    let silent = almost + LEASE;
    assert_eq!(decide_at(&held("other", 5), &mut seen, silent), Step::Claim(Claim::Replace));
}

#[test]
fn ones_own_and_a_released_lease_are_claimed_at_once() {
    let now = Instant::now();
    assert_eq!(decide_at(&held("me", 0), &mut None, now), Step::Claim(Claim::Replace));
    let free = released(held("other", 0), "other", Timestamp::UNIX_EPOCH).expect("it was held");
    assert_eq!(decide_at(&free, &mut None, now), Step::Claim(Claim::Replace));
}

#[test]
fn each_new_holder_has_a_higher_term_and_a_renewal_keeps_it() {
    let term = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
    let first = held("a", 0);
    let renewed = claimed(Some(first.clone()), "spanway", "a", Timestamp::UNIX_EPOCH);
    let taken = claimed(Some(renewed.clone()), "spanway", "b", Timestamp::UNIX_EPOCH);
    assert_eq!(term(&first), term(&renewed));
    assert!(term(&taken) > term(&renewed));
    let free = released(taken, "b", Timestamp::UNIX_EPOCH).expect("it was held");
    let again = claimed(Some(free.clone()), "spanway", "b", Timestamp::UNIX_EPOCH);
    assert!(term(&again) > term(&free), "somebody else may have thought so too");
}

#[test]
fn a_claim_names_the_version_from_which_it_was_made() {
    let next = claimed(Some(held("other", 0)), "spanway", "me", Timestamp::UNIX_EPOCH);
    assert_eq!(next.metadata.resource_version.as_deref(), Some("7"));
}

#[test]
fn a_lease_of_another_is_not_handed_back() {
    assert_eq!(released(held("other", 0), "me", Timestamp::UNIX_EPOCH), None);
}
