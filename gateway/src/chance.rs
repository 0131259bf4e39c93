//! Chance for the path of a request: cheap, spread evenly, and no secret.

use std::cell::RefCell;

use rand::Rng as _;
use rand::rngs::SmallRng;

thread_local! {
    /// Seeded by the system, so that no two workers, processes or gateways draw the same ids.
    static SMALL: RefCell<SmallRng> = RefCell::new(rand::make_rng());
}

/// The next number. Whatever must not be guessed is drawn from [`rand::rng`] instead.
pub fn next() -> u64 {
    SMALL.with_borrow_mut(SmallRng::next_u64)
}
