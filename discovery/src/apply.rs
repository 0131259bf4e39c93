//! Carries changes out, in order and some at a time.

mod writer;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;

use config::model::ObjectRef;

use crate::plan::Change;
use crate::status::StatusPatch;

/// Changes under way at once: enough to be quick, too few to crowd out others at the API server.
const AT_ONCE_MAX: usize = 8;
/// How long one change may take: an API server that takes longer is not well.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many failures are kept for the log: the first say what is wrong.
const FAILURES_MAX: usize = 8;

/// Where objects are written.
pub trait Store: Send + Sync + 'static {
    /// Carries one change out.
    fn carry_out(&self, change: &Change) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Changes an object's status.
    fn patch_status(
        &self,
        patch: &StatusPatch,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a change was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What stands is not what was seen: the next round sees it.
    #[error("what stands has changed: {0}")]
    Conflict(String),
    /// It was not taken, or nobody answered.
    #[error("{0}")]
    Failed(String),
}

/// What became of the changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many were carried out.
    pub done: usize,
    /// How many met something else than was seen.
    pub conflicts: usize,
    /// How many failed otherwise.
    pub failed: usize,
    /// The first failures.
    pub failures: Vec<(ObjectRef, StoreError)>,
}

impl Outcome {
    /// Whether another round is needed soon.
    pub const fn is_complete(&self) -> bool {
        self.conflicts == 0 && self.failed == 0
    }

    /// The sum of two outcomes.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.done += other.done;
        self.conflicts += other.conflicts;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(FAILURES_MAX);
        self
    }

    fn add(&mut self, object: &ObjectRef, result: Result<(), StoreError>) {
        match result {
            Ok(()) => self.done += 1,
            Err(StoreError::Conflict(_)) => self.conflicts += 1,
            Err(error @ StoreError::Failed(_)) => {
                self.failed += 1;
                if self.failures.len() < FAILURES_MAX {
                    self.failures.push((object.clone(), error));
                }
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, conflicts, failed, failures } = self;
        write!(f, "{done} done, {conflicts} met a change, {failed} failed")?;
        failures.iter().try_for_each(|(object, error)| write!(f, "; {object}: {error}"))
    }
}

/// Carries changes out, phase by phase. One that fails stops no other; the next round plans again
/// from what stands then.
pub async fn apply<S: Store>(store: &S, changes: &[Change]) -> Outcome {
    let mut outcome = Outcome::default();
    for phase in changes.chunk_by(|one, other| one.phase() == other.phase()) {
        // Futures before the stream: a closure in the stream would have to be general over it.
        let calls: Vec<_> = phase.iter().map(|change| carry_out(store, change)).collect();
        gather(calls, &mut outcome).await;
    }
    outcome
}

/// Changes statuses.
pub async fn patch<S: Store>(store: &S, patches: &[StatusPatch]) -> Outcome {
    let mut outcome = Outcome::default();
    let calls: Vec<_> = patches.iter().map(|patch| patch_one(store, patch)).collect();
    gather(calls, &mut outcome).await;
    outcome
}

/// What became of one call.
type Done<'a> = (&'a ObjectRef, Result<(), StoreError>);

async fn carry_out<'a, S: Store>(store: &S, change: &'a Change) -> Done<'a> {
    (change.reference(), in_time(store.carry_out(change)).await)
}

async fn patch_one<'a, S: Store>(store: &S, patch: &'a StatusPatch) -> Done<'a> {
    (&patch.object, in_time(store.patch_status(patch)).await)
}

/// Makes some calls at a time.
async fn gather<'a>(calls: Vec<impl Future<Output = Done<'a>>>, outcome: &mut Outcome) {
    let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE_MAX);
    while let Some((object, result)) = calls.next().await {
        outcome.add(object, result);
    }
}

async fn in_time(change: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
    let late = |_| StoreError::Failed(format!("no answer within {CHANGE_TIMEOUT:?}"));
    tokio::time::timeout(CHANGE_TIMEOUT, change).await.map_err(late)?
}

#[cfg(test)]
mod tests;
