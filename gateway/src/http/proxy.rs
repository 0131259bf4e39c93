//! What all requests of a worker share.

use std::sync::Arc;

use tokio::sync::watch;

use super::h1::Waits;
use super::h2::sessions::Sessions;
use crate::snapshot::Published;
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::pool::Pool;
use crate::worker::Worker;

/// What all requests of a worker share.
pub struct Proxy {
    /// Where the snapshot of now is read.
    pub published: Arc<Published>,
    /// The worker, with what it knows of endpoints.
    pub worker: Arc<Worker>,
    /// Idle HTTP/1 connections to endpoints.
    pub pool: Arc<Pool>,
    /// HTTP/2 connections to endpoints.
    pub sessions: Arc<Sessions>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is logged.
    pub log: AccessLog,
    /// How long clients are waited for.
    pub waits: Waits,
    /// How long endpoints are waited for.
    pub endpoint_waits: Waits,
    /// Turns true when the gateway leaves.
    pub leaving: watch::Receiver<bool>,
}
