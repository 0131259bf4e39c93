//! What was compiled from what: who has to be compiled again when something changes.

use std::collections::{BTreeSet, HashMap};

use super::world::Used;
use crate::model::ObjectRef;

/// Which objects depend on something.
#[derive(Debug, Default)]
pub(super) struct Uses(HashMap<Used, BTreeSet<ObjectRef>, ahash::RandomState>);

impl Uses {
    /// Notes that `object` depends on all of these.
    pub(super) fn add(&mut self, object: &ObjectRef, on: &[Used]) {
        for used in on {
            self.0.entry(used.clone()).or_default().insert(object.clone());
        }
    }

    /// Forgets it again.
    pub(super) fn remove(&mut self, object: &ObjectRef, on: &[Used]) {
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
