//! What was compiled from what: who has to be compiled again when something changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::world::Used;
use crate::model::ObjectRef;

/// Which objects depend on something.
#[derive(Debug, Default)]
pub(super) struct Uses(HashMap<Arc<Used>, BTreeSet<ObjectRef>, ahash::RandomState>);

impl Uses {
    /// Notes that `object` depends on all of these, and gives them as all hold them who do.
    pub(super) fn add(&mut self, object: &ObjectRef, on: BTreeSet<Used>) -> Box<[Arc<Used>]> {
        let shared = on.into_iter().map(|used| {
            let known = self.0.get_key_value(&used).map(|(known, _)| Arc::clone(known));
            let used = known.unwrap_or_else(|| Arc::new(used));
            self.0.entry(Arc::clone(&used)).or_default().insert(object.clone());
            used
        });
        shared.collect()
    }

    /// Forgets it again.
    pub(super) fn remove(&mut self, object: &ObjectRef, on: &[Arc<Used>]) {
        for used in on {
            let Some(dependent) = self.0.get_mut(used) else { continue };
            dependent.remove(object);
            if dependent.is_empty() {
                self.0.remove(used);
            }
        }
    }

    /// Who depends on it.
    pub(super) fn of(&self, used: &Used) -> impl Iterator<Item = &ObjectRef> {
        self.0.get(used).into_iter().flatten()
    }
}
