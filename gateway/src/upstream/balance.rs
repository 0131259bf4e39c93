//! Which endpoint: the better of two, by load.

use std::sync::Arc;
use std::time::Instant;

use config::model::BackendKey;
use discovery::endpoint::{Endpoint, EndpointSet, Reach};

use super::split::scale;
use super::state::{InFlight, Load};
use crate::http::failure::Failure;
use crate::snapshot::Snapshot;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// An endpoint that takes a request. Its drop says that the request is over.
#[derive(Debug)]
pub struct Chosen {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The set that it was chosen from.
    pub set: Arc<EndpointSet>,
    in_flight: InFlight,
}

impl Chosen {
    /// Takes note that the head of an answer came after `took`.
    pub fn answered(&self, took: std::time::Duration, now: Instant) {
        self.in_flight.load().answered(took, now);
    }
}

/// Chooses an endpoint of `key` for a request; those in `tried` failed it already and come into
/// question only when nobody else does.
pub fn choose(
    worker: &Worker,
    snapshot: &Snapshot,
    key: &BackendKey,
    tried: &[Reach],
) -> Result<Chosen, Failure> {
    let set = snapshot.endpoints.sets.get(key).ok_or(Failure::NoEndpoint)?;
    let now = Instant::now();
    let shared = worker.shared();
    let usable = |endpoint: &Endpoint| {
        !tried.contains(&endpoint.reach) && !shared.is_out(&endpoint.reach, now)
    };
    let untried = |endpoint: &Endpoint| !tried.contains(&endpoint.reach);
    let all = &set.endpoints;
    // Nobody is better than somebody who failed lately, so the conditions fall one by one.
    let pair = two(all, usable, worker.chance())
        .or_else(|| two(all, untried, worker.chance()))
        .or_else(|| two(all, |_| true, worker.chance()))
        .ok_or(Failure::NoEndpoint)?;
    let (endpoint, load) = better(pair, |endpoint| worker.loads().of(&endpoint.reach, now), now);
    Ok(Chosen {
        endpoint: Arc::clone(endpoint),
        set: Arc::clone(set),
        in_flight: InFlight::begin(load),
    })
}

type Pair<'a> = (&'a Arc<Endpoint>, &'a Arc<Endpoint>);

/// Two different endpoints that `usable` allows, or the only one twice.
fn two(all: &[Arc<Endpoint>], usable: impl Fn(&Endpoint) -> bool, chance: u64) -> Option<Pair<'_>> {
    let count = all.iter().filter(|endpoint| usable(endpoint)).count();
    // The two halves of one number are independent enough for two small dice.
    let first = index(chance, count);
    let step = 1 + index(chance.rotate_left(32), count.saturating_sub(1));
    let second = if count > 1 { (first + step) % count } else { first };
    let mut usable = all.iter().filter(|endpoint| usable(endpoint));
    let low = first.min(second);
    let one = usable.nth(low)?;
    let other = match first.abs_diff(second) {
        0 => one,
        distance => usable.nth(distance - 1)?,
    };
    Some(if first <= second { (one, other) } else { (other, one) })
}

fn index(chance: u64, below: usize) -> usize {
    usize::try_from(scale(chance, below as u64)).unwrap_or_default()
}

fn better(
    (one, other): Pair<'_>,
    load: impl Fn(&Endpoint) -> Arc<Load>,
    now: Instant,
) -> (&Arc<Endpoint>, Arc<Load>) {
    let first = load(one);
    if Arc::ptr_eq(one, other) {
        return (one, first);
    }
    let second = load(other);
    if second.cost(now) < first.cost(now) { (other, second) } else { (one, first) }
}
