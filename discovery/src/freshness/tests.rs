//! What silence and old age make of what is known.

use super::*;

const POLICY: Staleness =
    Staleness { keep_for_seconds: 600, then: config::api::cluster_link::WhenStale::Degrade };

/// The freshness so many seconds after something was heard whose age was `age` seconds.
fn check(age: u64, later: u64) -> &'static str {
    let at = Instant::now() + Duration::from_hours(1);
    let heard = Heard { at, age: Duration::from_secs(age) };
    freshness(Some(heard), &POLICY, at + Duration::from_secs(later)).0.label()
}

#[test]
fn nothing_heard_is_lost() {
    assert_eq!(freshness(None, &POLICY, Instant::now()), (Freshness::Lost, None));
}

#[test]
fn two_missed_heartbeats_are_not_silence() {
    assert_eq!(check(0, 14), "Fresh");
    assert_eq!(check(0, 15), "Stale");
}

#[test]
fn it_is_lost_when_it_was_kept_for_long_enough() {
    assert_eq!(check(0, 599), "Stale");
    assert_eq!(check(0, 600), "Lost");
}

#[test]
fn a_far_cluster_whose_own_watches_are_old_is_stale_though_it_speaks() {
    assert_eq!(check(120, 0), "Fresh");
    assert_eq!(check(121, 0), "Stale");
    assert_eq!(check(601, 0), "Lost");
}

#[test]
fn the_next_change_is_foretold() {
    let at = Instant::now();
    let heard = Some(Heard { at, age: Duration::ZERO });
    let (_, stale) = freshness(heard, &POLICY, at);
    assert_eq!(stale, Some(at + SILENCE_MAX));
    let (_, lost) = freshness(heard, &POLICY, stale.unwrap());
    assert_eq!(lost, Some(at + Duration::from_mins(10)));
}
