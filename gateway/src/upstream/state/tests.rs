//! Who is left alone and for how long; what a load costs.

use super::*;

fn key(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], number))
}

#[test]
fn who_failed_is_left_alone_and_then_tried_again() {
    let failures = Failures::default();
    let now = Instant::now();
    failures.failed(&key(1), now, 0);
    assert!(failures.is_out(&key(1), now) && !failures.is_out(&key(2), now));
    assert!(!failures.is_out(&key(1), now + OUT_FIRST));
}

#[test]
fn who_fails_again_after_a_return_stays_out_longer_up_to_a_limit() {
    let failures = Failures::default();
    let mut now = Instant::now();
    failures.failed(&key(1), now, 0);
    failures.failed(&key(1), now, 0);
    assert!(!failures.is_out(&key(1), now + OUT_FIRST), "two at once count as one");
    for wanted in [2, 4, 8, 16, 30, 30] {
        now += OUT_MAX;
        failures.failed(&key(1), now, 0);
        let wanted = Duration::from_secs(wanted);
        assert!(failures.is_out(&key(1), now + wanted.mul_f64(0.99)), "{wanted:?}");
        assert!(!failures.is_out(&key(1), now + wanted), "{wanted:?}");
    }
}

#[test]
fn chance_shortens_the_wait_by_a_half_at_most() {
    assert_eq!(backoff(0, 0), OUT_FIRST);
    assert_eq!(backoff(0, u32::MAX), OUT_FIRST / 2);
}

#[test]
fn one_success_forgets_all_failures() {
    let failures = Failures::default();
    let now = Instant::now();
    failures.failed(&key(1), now, 0);
    failures.succeeded(&key(1));
    assert!(!failures.is_out(&key(1), now));
    failures.failed(&key(1), now, 0);
    assert!(!failures.is_out(&key(1), now + OUT_FIRST));
}

#[test]
fn failures_are_bounded() {
    let failures = Failures::default();
    let now = Instant::now();
    for number in 0..u16::try_from(OUT_ENTRIES_MAX + 100).unwrap() {
        failures.failed(&key(number), now + Duration::from_millis(number.into()), 0);
    }
    assert!(failures.count.load(Relaxed) <= OUT_ENTRIES_MAX);
}

#[test]
fn a_slow_answer_counts_at_once_and_is_forgotten_little_by_little() {
    let now = Moment(0);
    let load = Load::new(now);
    let before = load.cost(now);
    load.answered(Duration::from_secs(1), now);
    let after = load.cost(now);
    assert!(after > before * 10.0, "{before} {after}");
    let later = load.cost(now.after(DECAY));
    assert!(later < after / 2.0 && later > 0.0, "{after} {later}");
}

#[test]
fn requests_under_way_raise_the_cost_until_they_end() {
    let now = Moment(0);
    let load = Arc::new(Load::new(now));
    let alone = load.cost(now);
    let first = InFlight::begin(Arc::clone(&load));
    let second = InFlight::begin(Arc::clone(&load));
    assert!((load.cost(now) - alone * 3.0).abs() < 1.0);
    drop((first, second));
    assert_eq!(load.in_flight(), 0);
}
