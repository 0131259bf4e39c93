//! Says how long to wait before the next dial.

use std::time::Duration;

/// The wait after the first round in which no address answered.
const BASE: Duration = Duration::from_millis(250);
/// The longest wait: a cluster that comes back is found within ten seconds.
const MAX: Duration = Duration::from_secs(10);
/// Between two addresses of one round.
const NEXT_ADDRESS: Duration = Duration::from_millis(50);

/// How many dials failed since the last that did not.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after another failure, with `addresses` to try in turn. `chance`, from 0 to 1,
    /// makes it half to all of the full wait, so that gateways do not dial in step.
    pub(super) fn next(&mut self, addresses: usize, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let addresses = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
        let full = if self.failures.is_multiple_of(addresses) {
            let rounds = (self.failures / addresses).saturating_sub(1).min(16);
            BASE.saturating_mul(1 << rounds).min(MAX)
        } else {
            NEXT_ADDRESS
        };
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..8).map(|_| backoff.next(1, 1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    #[test]
    fn all_addresses_are_tried_before_the_wait_grows() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..4).map(|_| backoff.next(2, 1.0).as_millis()).collect();
        assert_eq!(waits, [50, 250, 50, 500]);
    }

    #[test]
    fn chance_takes_at_most_half_of_the_wait() {
        assert_eq!(Backoff::default().next(1, 0.0), BASE / 2);
    }
}
