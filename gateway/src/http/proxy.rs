//! What all requests share.

use std::sync::Arc;

use super::h1::Waits;
use crate::drain::Draining;
use crate::snapshot::Published;
use crate::telemetry::{AccessLog, Metrics};

/// What all requests share.
pub struct Proxy {
    /// Where the snapshot of now is read.
    pub published: Arc<Published>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: AccessLog,
    /// How long clients are waited for.
    pub waits: Waits,
    /// How long endpoints are waited for.
    pub endpoint_waits: Waits,
    /// How far the gateway has gone.
    pub draining: Draining,
}
