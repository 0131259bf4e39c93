//! Runs the model: waits for a change of anything, takes it in, publishes.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::model::{LinkName, ObjectRef};
use config::source::Watched;
use discovery::catalog::Offers;
use discovery::catalog::client::{LinkState, LinkStates};
use tokio::sync::watch;
use tokio::time::Instant;

use super::links::Followers;
use super::model::{Derived, Model};
use crate::snapshot::Snapshot;
use crate::tls::svid::Svid;

/// What comes in.
pub(super) struct Inputs {
    /// The source.
    pub(super) watched: Watched,
    /// Our own certificate.
    pub(super) svid: watch::Receiver<Option<Arc<Svid>>>,
    /// The instance ids of this cluster's gateways that drain.
    pub(super) draining: watch::Receiver<imbl::OrdSet<Arc<str>>>,
}

/// What goes out, beside the snapshot.
pub(super) struct Outputs {
    /// Ticks with every snapshot.
    pub(super) tick: watch::Sender<u64>,
    /// What follows from the objects.
    pub(super) derived: watch::Sender<Arc<Derived>>,
    /// What each link gets of us.
    pub(super) offers: watch::Sender<Offers>,
    /// What each link knows, for the leader.
    pub(super) states: watch::Sender<LinkStates>,
    /// The Secrets and `ConfigMap`s that are to be watched.
    pub(super) wanted: watch::Sender<BTreeSet<ObjectRef>>,
}

/// Runs until the source ends.
pub(super) async fn run(
    mut model: Model,
    mut followers: Followers,
    mut inputs: Inputs,
    outputs: Outputs,
) {
    let mut links = followers.changes();
    // Nothing is published before everything was listed once.
    if inputs.watched.state.wait_for(|state| state.synced).await.is_err() {
        return;
    }
    take_objects(&mut model, &mut inputs.watched);
    model.take_svid(inputs.svid.borrow_and_update().clone());
    loop {
        followers.follow(&model.derived().links);
        model.take_links(followers.links());
        model.settle(Instant::now());
        let is_new = model.publish(Instant::now());
        drop_apart(model.unread(Instant::now()));
        tell(&model, &outputs);
        if is_new {
            outputs.tick.send_modify(|tick| *tick = tick.wrapping_add(1));
        }
        let due = model.due();
        tokio::select! {
            changed = inputs.watched.slices.changed() => {
                if changed.is_err() { return }
                take_objects(&mut model, &mut inputs.watched);
            }
            changed = inputs.watched.resources.changed() => {
                if changed.is_err() { return }
                take_objects(&mut model, &mut inputs.watched);
            }
            changed = inputs.watched.state.changed() => {
                if changed.is_err() { return }
                take_objects(&mut model, &mut inputs.watched);
            }
            changed = links.changed() => if changed.is_err() { return },
            changed = inputs.svid.changed() => {
                if changed.is_err() { return }
                model.take_svid(inputs.svid.borrow_and_update().clone());
            }
            changed = inputs.draining.changed() => {
                if changed.is_err() { return }
                model.take_draining(inputs.draining.borrow_and_update().clone());
            }
            () = until(due) => {}
        }
    }
}

/// Takes in what is new of the source: slices before the objects that came with them.
fn take_objects(model: &mut Model, watched: &mut Watched) {
    // How far the watches are is read first, so that it never promises more than was taken in.
    let reached = watched.state.borrow_and_update().reached.clone();
    model.take_slices(&watched.slices.borrow_and_update().clone());
    model.take_resources(&watched.resources.borrow_and_update().clone(), Instant::now());
    model.take_reached(&reached);
}

/// Drops snapshots on a thread of their own: with the last one that holds it a large table goes.
fn drop_apart(unread: Vec<Arc<Snapshot>>) {
    if !unread.is_empty() {
        // Nobody waits for it, and it cannot fail.
        drop(tokio::task::spawn_blocking(move || drop(unread)));
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn tell(model: &Model, outputs: &Outputs) {
    let derived = model.derived();
    outputs.offers.send_replace(model.offers().clone());
    let states = derived.known.iter().map(|(name, it)| (Arc::clone(name), Arc::clone(&it.state)));
    let states: LinkStates = states.collect();
    outputs.states.send_if_modified(|known| {
        let alike = |(name, state): (&LinkName, &Arc<LinkState>)| {
            known.get(name).is_some_and(|known| known.decides_alike(state))
        };
        let changed = known.len() != states.len() || !states.iter().all(alike);
        *known = states;
        changed
    });
    let wanted = model.wanted();
    outputs.wanted.send_if_modified(|known| {
        let changed = *known != wanted;
        *known = wanted;
        changed
    });
    outputs.derived.send_replace(Arc::new(derived.clone()));
}
