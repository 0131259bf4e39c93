//! The HTTP/2 connections of a worker to endpoints: few, and shared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use discovery::endpoint::Reach;
use tokio::sync::OwnedMutexGuard;

use super::client::Session;
use crate::http::attempt::Failed;
use crate::http::failure::Failure;
use crate::http::h1::Waits;
use crate::snapshot::Snapshot;
use crate::upstream::Connection;

/// Sessions to one endpoint: more only when the places on the others are taken.
const SESSIONS_PER_ENDPOINT_MAX: usize = 4;

/// A place for the sessions to one endpoint. Whoever finds no room opens one while others wait,
/// so that a burst makes one connection and not a hundred.
type Slot = Arc<tokio::sync::Mutex<Vec<Arc<Open>>>>;

/// A session, and which far gateway carries it.
pub(crate) struct Open {
    session: Session,
    /// The link and the instance of its gateway.
    through: Option<(Arc<str>, Arc<str>)>,
}

impl std::ops::Deref for Open {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// All sessions of a worker.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<Reach, Slot>>);

impl Sessions {
    /// A session with room for a request, or the right to open one.
    pub(crate) async fn lease(
        &self,
        snapshot: &Snapshot,
        reach: &Reach,
    ) -> Result<Arc<Open>, Vacant> {
        let mut slot = self.slot(reach).lock_owned().await;
        slot.retain(|open| open.is_open() && !open.is_draining(snapshot));
        let free = slot.iter().find(|open| open.has_room());
        // Where all places are taken and no more may be opened, the request waits on the first.
        let full = slot.len() >= SESSIONS_PER_ENDPOINT_MAX;
        match free.or_else(|| slot.first().filter(|_| full)) {
            Some(open) => Ok(Arc::clone(open)),
            None => Err(Vacant(slot)),
        }
    }

    /// Takes note that a session takes no more requests.
    pub(crate) fn forget(&self, reach: &Reach, gone: &Arc<Open>) {
        if let Ok(mut slot) = self.slot(reach).try_lock() {
            slot.retain(|open| !Arc::ptr_eq(open, gone));
        }
    }

    /// Lets go of sessions to endpoints that `keep` does not know; what is under way on them ends.
    pub fn retain(&self, keep: impl Fn(&Reach) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|reach, _| keep(reach));
    }

    fn slot(&self, reach: &Reach) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(reach) {
            return Arc::clone(slot);
        }
        Arc::clone(slots.entry(reach.clone()).or_default())
    }
}

impl Open {
    fn is_draining(&self, snapshot: &Snapshot) -> bool {
        self.through.as_ref().is_some_and(|(link, instance)| {
            let peers = snapshot.endpoints.links.get(link);
            peers.is_none_or(|peers| peers.draining.contains(instance))
        })
    }
}

/// The right to open a session to an endpoint.
pub(crate) struct Vacant(OwnedMutexGuard<Vec<Arc<Open>>>);

impl Vacant {
    /// Shakes hands on a connection.
    pub(crate) async fn fill(
        mut self,
        connection: Connection,
        waits: Waits,
    ) -> Result<Arc<Open>, Failed> {
        let through =
            connection.call().map(|call| (Arc::clone(call.link()), Arc::clone(call.instance())));
        let session = Session::start(connection, waits)
            .await
            .ok_or(Failed { failure: Failure::ConnectFailed, again: true })?;
        let open = Arc::new(Open { session, through });
        self.0.push(Arc::clone(&open));
        Ok(open)
    }
}
