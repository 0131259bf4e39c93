//! Which backend of a rule, by weight.

use config::model::BackendKey;
use config::table::{Backend, Target};

use crate::http::failure::Failure;

#[cfg(test)]
mod tests;

/// The backend that `chance` (any number, evenly spread) falls on, and whose endpoints it means.
///
/// An invalid backend keeps its share, and the requests that fall on it fail.
pub fn split(backends: &[Backend], chance: u64) -> Result<(&Backend, &BackendKey), Failure> {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut at = scale(chance, total);
    for backend in backends {
        let weight = u64::from(backend.weight);
        if at < weight {
            return match &backend.target {
                Target::Endpoints(key) => Ok((backend, key)),
                Target::Invalid(_) => Err(Failure::InvalidBackend),
            };
        }
        at -= weight;
    }
    // Nobody has any weight.
    Err(Failure::InvalidBackend)
}

/// Spreads `chance` over `0..below` without the bias of a remainder.
pub(super) fn scale(chance: u64, below: u64) -> u64 {
    let wide = u128::from(chance) * u128::from(below);
    u64::try_from(wide >> 64).unwrap_or_default()
}
