//! One thread with its own runtime and its own memory of endpoints.

use std::sync::Arc;

use crate::upstream::state::{Loads, Shared};

/// What the requests of one worker have in common. Two workers share nothing on a request's way
/// but who failed lately.
#[derive(Debug, Default)]
pub struct Worker {
    loads: Loads,
    shared: Arc<Shared>,
}

impl Worker {
    /// A worker beside others that have the same `shared`.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { loads: Loads::default(), shared }
    }

    /// The loads of endpoints, as this worker sees them.
    pub const fn loads(&self) -> &Loads {
        &self.loads
    }

    /// What all workers know together.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A number by chance, evenly spread.
    pub fn chance(&self) -> u64 {
        rand::random()
    }
}
