//! How many connections may be open, and from whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::lock::lock;

#[cfg(test)]
mod tests;

/// Connections open at once: with TLS some 14 KiB each while they idle, thus about 700 MiB.
pub const CONNECTIONS_MAX: usize = 50_000;
/// The same from one address. Behind a node that hides its clients' addresses all of them have
/// the node's, so this only keeps one peer from taking everything.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 10_000;

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// All connections.
    pub total: usize,
    /// Those from one address.
    pub per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: CONNECTIONS_MAX, per_address: CONNECTIONS_PER_ADDRESS_MAX }
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// That of all connections.
    Total,
    /// That of one address.
    PerAddress,
}

impl Reached {
    /// The name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerAddress => "per_address",
        }
    }
}

/// Counts connections.
#[derive(Clone, Debug)]
pub struct Limiter {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    address: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Limiter {
    /// Nobody yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, counts: Arc::default() }
    }

    /// Takes in a connection from `address`, if there is room.
    pub fn admit(&self, address: IpAddr) -> Result<Admitted, Reached> {
        let mut counts = lock(&self.counts);
        if counts.total >= self.limits.total {
            return Err(Reached::Total);
        }
        let here = counts.by_address.get(&address).copied().unwrap_or_default();
        if here >= self.limits.per_address {
            return Err(Reached::PerAddress);
        }
        counts.by_address.insert(address, here + 1);
        counts.total += 1;
        Ok(Admitted { address, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.total = counts.total.saturating_sub(1);
        let left = counts.by_address.get(&self.address).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.by_address.remove(&self.address);
        } else {
            counts.by_address.insert(self.address, left);
        }
    }
}
