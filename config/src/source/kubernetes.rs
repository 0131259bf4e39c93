//! An API server as the source: one watch a kind, and one for each object that is wanted by name.
//!
//! Secrets and `ConfigMap`s are never read across the cluster. Those that the configuration refers
//! to are watched one by one, by name, which needs no more than `get`, `list` and `watch` on them
//! in their namespace; a refusal is asked again, since the right may come later.
//!
//! The watches are our own and not those of `kube::runtime`, because bookmarks and the versions of
//! lists, which those keep to themselves, say how far a kind was read.

mod ledger;
mod reader;
mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::ledger::Ledger;
pub(crate) use self::scope::api_resource;
use self::scope::{Scope, everywhere, named};
use super::{Publisher, Watched};
use crate::model::ObjectRef;

/// The shortest time between two states that are given on. A change that comes alone is given on at
/// once; of many, those that come in such a time become one.
const PACE: Duration = Duration::from_millis(5);
/// How many changes wait for being taken in before the watches are read more slowly.
const CHANGES: usize = 1024;

/// What is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace that Spanway itself runs in.
    pub namespace: Arc<str>,
    /// Whether what only controllers need is watched: the pods of that namespace, and the
    /// `RoleBinding`s that we made.
    pub controls: bool,
}

/// An API server that is watched while `run` runs.
pub struct Kubernetes {
    client: Client,
    options: Options,
    wanted: watch::Receiver<BTreeSet<ObjectRef>>,
    publisher: Publisher,
}

impl Kubernetes {
    /// Prepares to watch an API server; `wanted` says which Secrets and `ConfigMap`s are needed.
    pub fn new(
        client: Client,
        options: Options,
        wanted: watch::Receiver<BTreeSet<ObjectRef>>,
    ) -> (Self, Watched) {
        let (publisher, watched) = Publisher::new();
        (Self { client, options, wanted, publisher }, watched)
    }

    /// Watches until `shutdown`. What is wrong with the API server is told in the state.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { client, options, mut wanted, publisher } = self;
        let (sender, mut changes) = mpsc::channel(CHANGES);
        let mut readers = Readers { client, sender, tasks: JoinSet::new(), named: BTreeMap::new() };
        let scopes = everywhere(&options);
        let mut ledger = Ledger::new(scopes.iter().cloned());
        for scope in scopes {
            readers.start(scope);
        }
        readers.follow(&wanted.borrow_and_update().clone(), &mut ledger);
        let (mut asks, mut next) = (true, Instant::now());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(change) = changes.recv() => {
                    ledger.take(change, Instant::now());
                    gather(&mut changes, &mut ledger, next).await;
                }
                alive = wanted.changed(), if asks => {
                    asks = alive.is_ok();
                    readers.follow(&wanted.borrow_and_update().clone(), &mut ledger);
                }
            }
            ledger.publish(&publisher);
            next = Instant::now() + PACE;
        }
    }
}

/// Takes in what is there already, and what comes until `deadline`.
async fn gather(
    changes: &mut mpsc::Receiver<ledger::Change>,
    ledger: &mut Ledger,
    deadline: Instant,
) {
    while let Ok(Some(change)) = timeout_at(deadline, changes.recv()).await {
        ledger.take(change, Instant::now());
    }
}

/// The tasks that read. They end with this.
struct Readers {
    client: Client,
    sender: mpsc::Sender<ledger::Change>,
    tasks: JoinSet<()>,
    named: BTreeMap<Scope, AbortHandle>,
}

impl Readers {
    fn start(&mut self, scope: Scope) -> AbortHandle {
        // Those that were stopped are forgotten.
        while self.tasks.try_join_next().is_some() {}
        let api = scope.api(self.client.clone());
        self.tasks.spawn(reader::read(scope, api, self.sender.clone()))
    }

    /// Starts to watch the objects that are newly wanted, and stops with those that are not.
    fn follow(&mut self, wanted: &BTreeSet<ObjectRef>, ledger: &mut Ledger) {
        let wanted: BTreeSet<_> = wanted.iter().filter_map(named).collect();
        let gone: Vec<_> =
            self.named.keys().filter(|scope| !wanted.contains(*scope)).cloned().collect();
        for scope in gone {
            if let Some(task) = self.named.remove(&scope) {
                task.abort();
            }
            ledger.forget(&scope);
        }
        for scope in wanted {
            if !self.named.contains_key(&scope) {
                ledger.expect(scope.clone());
                let task = self.start(scope.clone());
                self.named.insert(scope, task);
            }
        }
    }
}

#[cfg(test)]
mod tests;
