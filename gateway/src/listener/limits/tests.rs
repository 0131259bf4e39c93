//! Who is admitted.

use super::*;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn one_address_may_not_take_everything() {
    let limiter = Limiter::new(Limits { total: 10, per_address: 2 });
    let held = [limiter.admit(address(1)).unwrap(), limiter.admit(address(1)).unwrap()];
    assert_eq!(limiter.admit(address(1)).unwrap_err(), Reached::PerAddress);
    assert!(limiter.admit(address(2)).is_ok());
    drop(held);
    assert!(limiter.admit(address(1)).is_ok());
}

#[test]
fn all_together_have_a_limit_and_nothing_is_kept_of_those_who_left() {
    let limiter = Limiter::new(Limits { total: 2, per_address: 2 });
    let held = [limiter.admit(address(1)).unwrap(), limiter.admit(address(2)).unwrap()];
    assert_eq!(limiter.admit(address(3)).unwrap_err(), Reached::Total);
    drop(held);
    let counts = lock(&limiter.counts);
    assert_eq!((counts.total, counts.by_address.len()), (0, 0));
}
