//! What becomes of a mirrored port whose owner goes.
//!
//! A Service that its user takes over, or that is not asked for any more, may still be called over
//! connections that were made before, and for a moment over new ones. None of these calls is lost:
//!
//! ```text
//! owner goes ─► accepting (kube-proxy follows) ─► answering (clients let go) ─► forgotten
//! ```
//!
//! In both states every answer tells its client to go. When the export itself is gone, calls go to
//! the Service that its user put in its place; where there is none, the answer says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::model::{HashMap, Name};
use config::table::{Port, PortServes, RoutingTable, Withdrawn};
use discovery::endpoint::build::Mirrored;
use imbl::OrdMap;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// How long connections are answered after their owner went. No connection may be idle for as long:
/// by then it has carried a request, whose answer told its client to go, or was closed. There is one
/// for each container port at most, so that the range bounds how many are kept.
const KEPT: Duration = Duration::from_mins(2);

/// The mirrored ports whose owners went lately.
#[derive(Debug)]
pub struct Withdrawals {
    /// How long connections are still accepted.
    settle: Duration,
    gone: BTreeMap<u16, Gone>,
}

#[derive(Debug)]
struct Gone {
    port: Arc<Port>,
    /// What a mirrored Service stood for.
    stood_for: Option<Mirrored>,
    since: Instant,
    accepts: bool,
}

impl Withdrawals {
    /// None yet; a port accepts for `settle` after its owner went.
    pub fn new(settle: Duration) -> Self {
        Self { settle: settle.min(KEPT), gone: BTreeMap::new() }
    }

    /// Notes the mirrored ports that stand in `before` and not in `after`, with what their Services
    /// stood for among `mirrors`, and forgets those that stand again.
    pub(super) fn note(
        &mut self,
        before: &RoutingTable,
        after: &RoutingTable,
        mirrors: &OrdMap<Name, Mirrored>,
        at: Instant,
    ) {
        self.gone.retain(|number, gone| !after.stands(*number, &gone.port.owner));
        for number in after.ports_not_in(before) {
            let Some(port) = before.port(number) else { continue };
            let mirrored = matches!(port.serves, PortServes::Mirrored(_));
            if mirrored && !after.stands(number, &port.owner) {
                let stood_for = mirrors.get(&port.name).cloned();
                let port = Arc::clone(port);
                self.gone.insert(number, Gone { port, stood_for, since: at, accepts: true });
            }
        }
    }

    /// The mirrored Services that stand, and those whose endpoints are still needed. A name that
    /// stands for something else by now leads nobody there who meant the other.
    pub(super) fn with(&mut self, standing: OrdMap<Name, Mirrored>) -> OrdMap<Name, Mirrored> {
        self.gone.retain(|_, gone| {
            let now = standing.get(&gone.port.name);
            now.is_none() || now == gone.stood_for.as_ref()
        });
        let mut all = standing;
        for Gone { port, stood_for, .. } in self.gone.values() {
            if let Some(stood_for) = stood_for {
                all.insert(port.name.clone(), stood_for.clone());
            }
        }
        all
    }

    /// Takes the steps that are due. Returns whether there were any.
    pub(super) fn advance(&mut self, at: Instant) -> bool {
        let due = self.next().is_some_and(|next| next <= at);
        if due {
            self.gone.retain(|_, gone| at < gone.since + KEPT);
            for gone in self.gone.values_mut() {
                gone.accepts = at < gone.since + self.settle;
            }
        }
        due
    }

    /// When the next step is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let step = |gone: &Gone| gone.since + if gone.accepts { self.settle } else { KEPT };
        self.gone.values().map(step).min()
    }

    /// Them, for the routing table.
    pub(super) fn ports(&self) -> HashMap<u16, Withdrawn> {
        let withdrawn =
            |gone: &Gone| Withdrawn { port: Arc::clone(&gone.port), accepts: gone.accepts };
        self.gone.iter().map(|(number, gone)| (*number, withdrawn(gone))).collect()
    }
}
