//! Most routes name the same parents and deserve the same: those that are alike share it.

use std::sync::Arc;

use super::attach::Route;
use crate::verdict::{ParentRef, RouteVerdict};

/// What the route had that was judged before: the next one is likely to have the same.
#[derive(Default)]
pub(super) struct Alike {
    parents: Arc<[ParentRef]>,
    verdict: Arc<RouteVerdict>,
}

impl Alike {
    /// Gives a route that nobody else holds yet the parents of the one before, if they are its own.
    pub(super) fn share_parents(&mut self, route: &mut Route) {
        let Some(facts) = route.facts_mut() else { return };
        if facts.parents == self.parents {
            facts.parents = Arc::clone(&self.parents);
        } else {
            self.parents = Arc::clone(&facts.parents);
        }
    }

    /// The verdict, shared with the route before if it deserves the same.
    pub(super) fn share_verdict(&mut self, verdict: RouteVerdict) -> Arc<RouteVerdict> {
        if *self.verdict != verdict {
            self.verdict = Arc::new(verdict);
        }
        Arc::clone(&self.verdict)
    }
}
