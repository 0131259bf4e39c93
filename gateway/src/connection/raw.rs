//! Connections whose bytes are copied, whatever they mean.

use std::sync::Arc;
use std::time::Instant;

use config::model::BackendKey;
use config::table::StreamRule;
use discovery::endpoint::{Endpoint, Reach};

use crate::chance;
use crate::http::failure::Failure;
use crate::link::hello::Hello;
use crate::listener::peek::Replay;
use crate::snapshot::Snapshot;
use crate::splice::{Copied, Splice, splice};
use crate::tls::stream::Socket;
use crate::upstream::state::InFlight;
use crate::upstream::{self, Chosen, Connection};
use crate::wire::Wire;
use crate::worker::Worker;

/// Endpoints that are tried for one connection: nothing was sent, so another may do as well.
pub const ENDPOINTS_TRIED: usize = 3;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct Dialled {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The connection, with what the endpoint has said already.
    pub connection: Replay<Wire>,
    /// Counts it as under way.
    pub in_flight: InFlight,
}

impl Dialled {
    fn new(chosen: Chosen<'_>, connection: Connection) -> Self {
        let Chosen { endpoint, in_flight, .. } = chosen;
        let connection = Replay::new(connection.wire, Vec::new());
        Self { endpoint: Arc::clone(endpoint), connection, in_flight }
    }
}

/// Connects to an endpoint of `key`.
pub async fn dial(
    worker: &Worker,
    snapshot: &Snapshot,
    key: &BackendKey,
) -> Result<Dialled, Failure> {
    let mut tried: Vec<Reach> = Vec::new();
    let mut failure = Failure::NoEndpoint;
    let set = snapshot.endpoints.sets.get(key).ok_or(failure)?;
    while tried.len() < ENDPOINTS_TRIED {
        let chosen = upstream::choose(worker, set, &tried, Instant::now())?;
        let reach = &chosen.endpoint.reach;
        if tried.contains(reach) {
            break;
        }
        match upstream::connect(worker, snapshot, reach, &Hello::default()).await {
            Ok(connection) => return Ok(Dialled::new(chosen, connection)),
            Err(error) => {
                failure = error.failure();
                tried.push(reach.clone());
            }
        }
    }
    Err(failure)
}

/// Copies between a client and an endpoint of `key`, or the one that was dialled already.
pub async fn carry<S: Socket>(
    io: S,
    worker: &Worker,
    snapshot: Arc<Snapshot>,
    key: &BackendKey,
    dialled: Option<Dialled>,
) {
    let dialled = match dialled {
        Some(dialled) => Ok(dialled),
        None => dial(worker, &snapshot, key).await,
    };
    // What is copied may go on for days, and must not keep a table of long ago.
    drop(snapshot);
    match dialled {
        Ok(Dialled { endpoint, connection, in_flight: _under_way }) => {
            let copied = Copied::default();
            let done = splice(io, connection, Splice::default(), &copied).await;
            let endpoint = &endpoint.id;
            let (up, down) = (copied.up(), copied.down());
            tracing::debug!(?done, %key, %endpoint, up, down, "a copied connection ended");
        }
        Err(failure) => {
            tracing::debug!(%key, flag = failure.flag(), "no endpoint for a connection");
            io.abort();
        }
    }
}

/// Copies between a client and a backend of `rule`.
pub async fn pass<S: Socket>(io: S, worker: &Worker, snapshot: Arc<Snapshot>, rule: &StreamRule) {
    match upstream::split::split(&rule.backends, chance::next()) {
        Ok((_, key)) => carry(io, worker, snapshot, key, None).await,
        Err(failure) => {
            tracing::debug!(route = %rule.id.route, flag = failure.flag(), "no backend");
            io.abort();
        }
    }
}
