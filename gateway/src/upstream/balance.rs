//! Which endpoint: the better of two, by load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use discovery::endpoint::{Endpoint, EndpointSet, Reach};

use super::split::scale;
use super::state::{InFlight, Load, Loads, Moment};
use crate::chance;
use crate::http::failure::Failure;
use crate::worker::Worker;

#[cfg(test)]
mod tests;

/// An endpoint that takes a request. Its drop says that the request is over.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// The endpoint. Not counted: requests of all workers would write to its count.
    pub endpoint: &'a Arc<Endpoint>,
    /// Counts the request as under way.
    pub in_flight: InFlight,
    /// When it was chosen.
    at: Moment,
}

impl Chosen<'_> {
    /// Takes note that the head of an answer came after `took`.
    pub fn answered(&self, took: Duration) {
        self.in_flight.load().answered(took, self.at.after(took));
    }
}

/// Chooses an endpoint of `set` for a request; those in `tried` failed it already and come into
/// question only when nobody else does.
pub fn choose<'a>(
    worker: &Worker,
    set: &'a EndpointSet,
    tried: &[Reach],
    now: Instant,
) -> Result<Chosen<'a>, Failure> {
    let shared = worker.shared();
    let usable = |endpoint: &Endpoint| {
        !tried.contains(&endpoint.reach) && !shared.is_out(&endpoint.reach, now)
    };
    let untried = |endpoint: &Endpoint| !tried.contains(&endpoint.reach);
    let all = &set.endpoints;
    let pair = if tried.is_empty() && shared.nobody_is_out() {
        two_of(all, chance::next())
    } else {
        // Nobody is better than somebody who failed lately, so the conditions fall one by one.
        two_of(all, chance::next())
            .filter(|(one, other)| usable(one) && usable(other))
            .or_else(|| two(all, usable, chance::next()))
            .or_else(|| two(all, untried, chance::next()))
            .or_else(|| two_of(all, chance::next()))
    };
    let pair = pair.ok_or(Failure::NoEndpoint)?;
    let at = worker.loads().moment(now);
    let (endpoint, load) = better(pair, worker.loads(), at);
    Ok(Chosen { endpoint, in_flight: InFlight::begin(load), at })
}

type Pair<'a> = (&'a Arc<Endpoint>, &'a Arc<Endpoint>);

/// Two different endpoints that `usable` allows, or the only one twice.
fn two(all: &[Arc<Endpoint>], usable: impl Fn(&Endpoint) -> bool, chance: u64) -> Option<Pair<'_>> {
    let usable: Vec<_> = all.iter().filter(|endpoint| usable(endpoint)).collect();
    let (first, second) = dice(chance, usable.len());
    Some((usable.get(first)?, usable.get(second)?))
}

/// The same where all are allowed.
fn two_of(all: &[Arc<Endpoint>], chance: u64) -> Option<Pair<'_>> {
    let (first, second) = dice(chance, all.len());
    Some((all.get(first)?, all.get(second)?))
}

/// Two different places of `count`; the same twice where there is but one.
fn dice(chance: u64, count: usize) -> (usize, usize) {
    // The two halves of one number are independent enough for two small dice.
    let first = index(chance, count);
    let step = 1 + index(chance.rotate_left(32), count.saturating_sub(1));
    (first, if count > 1 { (first + step) % count } else { first })
}

fn index(chance: u64, below: usize) -> usize {
    usize::try_from(scale(chance, below as u64)).unwrap_or_default()
}

fn better<'a>(
    (one, other): Pair<'a>,
    loads: &Loads,
    now: Moment,
) -> (&'a Arc<Endpoint>, Arc<Load>) {
    if Arc::ptr_eq(one, other) {
        return (one, loads.of(&one.reach, now));
    }
    let (second, load) = loads.less_busy((&one.reach, &other.reach), now);
    (if second { other } else { one }, load)
}
