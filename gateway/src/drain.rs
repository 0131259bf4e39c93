//! Going away without a call that breaks.
//!
//! ```text
//! Serving ─► Leaving (others stop naming us; we go on accepting) ─► Draining ─► Ended
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

#[cfg(test)]
mod tests;

/// How long the workers have to break off what is left: each only resets its connections. Without
/// this the process could end before, and the system would end them in order.
const BREAKING_OFF: Duration = Duration::from_secs(1);

/// How far the gateway has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It takes all that comes.
    Serving = 0,
    /// It asked to be taken out of the slices, and takes all that still comes.
    Leaving,
    /// It accepts nothing; what is under way finishes, and nothing follows on its connections.
    Draining,
    /// What is still there is broken off.
    Ended,
}

impl Phase {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Serving,
            1 => Self::Leaving,
            2 => Self::Draining,
            _ => Self::Ended,
        }
    }

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
    state: Arc<State>,
}

/// Who reads how far it is.
#[derive(Clone, Debug)]
pub struct Draining {
    phase: watch::Receiver<Phase>,
    state: Arc<State>,
}

/// One connection's standing wait for a phase: registered once, not anew for each request.
pub struct PhaseWait {
    state: Arc<State>,
    phase: Phase,
    reached: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Who is registered.
    waker: Option<Waker>,
}

/// What everybody may look at.
#[derive(Debug, Default)]
struct State {
    /// The phase once more: each request asks for it.
    phase: AtomicU8,
    /// Told once each, after `phase` was set: who waits for one is woken when it is there and for
    /// no other reason, so that a look at `phase` is enough.
    draining: CancellationToken,
    ended: CancellationToken,
    /// Connections that are open.
    open: AtomicUsize,
    changed: Notify,
}

/// One open connection.
#[derive(Debug)]
pub struct Open(Arc<State>);

impl Default for Drain {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), state: Arc::default() }
    }
}

impl Drain {
    /// A reader.
    pub fn watch(&self) -> Draining {
        Draining { phase: self.phase.subscribe(), state: Arc::clone(&self.state) }
    }

    /// Goes on to `phase`, never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            self.state.phase.store(*now as u8, Release);
            forward
        });
        if phase >= Phase::Draining {
            self.state.draining.cancel();
        }
        if phase >= Phase::Ended {
            self.state.ended.cancel();
        }
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
        let quiet = tokio::time::timeout(limits.draining, self.state.none()).await.is_ok();
        let left = self.state.open.load(Relaxed);
        if !quiet {
            tracing::warn!(left, after = ?limits.draining, "connections are broken off");
        }
        self.advance(Phase::Ended);
        if !quiet && tokio::time::timeout(BREAKING_OFF, self.state.none()).await.is_err() {
            tracing::warn!(after = ?BREAKING_OFF, "some connections could not be broken off");
        }
        left
    }
}

impl Draining {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Waits for the drain to begin, for one connection, which asks often.
    pub fn begins(&self) -> PhaseWait {
        PhaseWait::new(&self.state, Phase::Draining, &self.state.draining)
    }

    /// The same for its end.
    pub fn ends(&self) -> PhaseWait {
        PhaseWait::new(&self.state, Phase::Ended, &self.state.ended)
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
        self.state.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.state))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.state.open.load(Relaxed)
    }
}

impl PhaseWait {
    fn new(state: &Arc<State>, phase: Phase, token: &CancellationToken) -> Self {
        let reached = Box::pin(token.clone().cancelled_owned());
        Self { state: Arc::clone(state), phase, reached, waker: None }
    }

    /// Waits until the phase is reached, or nobody is left to say so.
    pub async fn reached(&mut self) {
        std::future::poll_fn(|cx| self.poll_reached(cx)).await;
    }

    fn poll_reached(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.phase() >= self.phase {
            return Poll::Ready(());
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        self.reached.as_mut().poll(cx)
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        // Whoever follows would wait for ever.
        self.advance(Phase::Ended);
    }
}

impl State {
    fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Acquire))
    }

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
