//! Going away without a call that breaks.
//!
//! ```text
//! Serving ─► Leaving (others stop naming us; we go on accepting) ─► Draining ─► Ended
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, watch};

#[cfg(test)]
mod tests;

/// How long the workers have to break off what is left: each only resets its connections. Without
/// this the process could end before, and the system would end them in order.
const BREAKING_OFF: Duration = Duration::from_secs(1);

/// How far the gateway has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It takes all that comes.
    Serving,
    /// It asked to be taken out of the slices, and takes all that still comes.
    Leaving,
    /// It accepts nothing; what is under way finishes, and nothing follows on its connections.
    Draining,
    /// What is still there is broken off.
    Ended,
}

impl Phase {
    /// The name for the admin view and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}

/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the leader has confirmed our removal from the slices.
    pub leaving: Duration,
    /// For what is under way.
    pub draining: Duration,
}

/// Who says how far it is. Phases only ever advance.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    connections: Arc<Connections>,
}

/// Who reads how far it is.
#[derive(Clone, Debug)]
pub struct Draining {
    phase: watch::Receiver<Phase>,
    connections: Arc<Connections>,
}

/// Connections that are open.
#[derive(Debug, Default)]
struct Connections {
    open: AtomicUsize,
    changed: Notify,
}

/// One open connection.
#[derive(Debug)]
pub struct Open(Arc<Connections>);

impl Default for Drain {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), connections: Arc::default() }
    }
}

impl Drain {
    /// A reader.
    pub fn watch(&self) -> Draining {
        Draining { phase: self.phase.subscribe(), connections: Arc::clone(&self.connections) }
    }

    /// Goes on to `phase`, never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            forward
        });
    }

    /// Goes through all phases. `removed` ends when nobody names us any more; `settled`, which is
    /// asked after it, when the rules on every node have followed (kube-proxy). Returns how many
    /// connections had to be broken off.
    pub async fn run(
        &self,
        limits: Limits,
        removed: impl Future<Output = ()>,
        settled: impl Future<Output = ()>,
    ) -> usize {
        self.advance(Phase::Leaving);
        let confirmed = tokio::time::timeout(limits.leaving, removed).await.is_ok();
        if !confirmed {
            tracing::warn!(after = ?limits.leaving, "nobody confirmed that we left the slices");
        }
        settled.await;
        self.advance(Phase::Draining);
        let quiet = tokio::time::timeout(limits.draining, self.connections.none()).await.is_ok();
        let left = self.connections.open.load(Relaxed);
        if !quiet {
            tracing::warn!(left, after = ?limits.draining, "connections are broken off");
        }
        self.advance(Phase::Ended);
        if !quiet && tokio::time::timeout(BREAKING_OFF, self.connections.none()).await.is_err() {
            tracing::warn!(after = ?BREAKING_OFF, "some connections could not be broken off");
        }
        left
    }
}

impl Draining {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether a connection may carry another request.
    pub fn keeps_alive(&self) -> bool {
        self.phase() < Phase::Draining
    }

    /// Waits until `phase` is reached, or nobody is left to say so.
    pub async fn reached(&self, phase: Phase) {
        let mut watch = self.phase.clone();
        if watch.wait_for(|now| *now >= phase).await.is_err() {
            tracing::debug!("the drain has nobody who leads it any more");
        }
    }

    /// Counts a connection until the guard is dropped.
    pub fn open(&self) -> Open {
        self.connections.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.connections))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.connections.open.load(Relaxed)
    }
}

impl Connections {
    async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open.load(Relaxed) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Relaxed) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}
