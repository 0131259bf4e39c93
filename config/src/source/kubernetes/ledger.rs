//! What the watches have told so far: changes in, `Resources` out. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::DynamicObject;
use tokio::time::Instant;

use super::super::{KindState, Publisher, SourceState};
use super::scope::Scope;
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Resources, Slices, name_of, version_of};

/// What one watch tells.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) scope: Scope,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    /// These and no others are there.
    Listed {
        objects: Vec<DynamicObject>,
        version: u64,
    },
    Applied(Box<DynamicObject>),
    Deleted {
        name: Name,
        version: u64,
    },
    /// Nothing else has happened up to this version.
    Bookmark(u64),
    /// The watch began again.
    Heard,
    Failed(Trouble),
}

/// Why a watch cannot be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The cluster does not know the kind.
    Missing(Arc<str>),
    /// We may not.
    Forbidden(Arc<str>),
    /// Our version is too old.
    Expired,
    Other(Arc<str>),
}

impl Trouble {
    /// The API server does not answer.
    pub(super) fn silent() -> Self {
        Self::Other("the API server does not answer in time".into())
    }

    fn message(&self) -> Arc<str> {
        match self {
            Self::Missing(message) | Self::Forbidden(message) | Self::Other(message) => {
                Arc::clone(message)
            }
            Self::Expired => "the version to watch from is too old".into(),
        }
    }
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                403 => Self::Forbidden(status.message.as_str().into()),
                404 => Self::Missing(status.message.as_str().into()),
                // Too old, or newer than what a restored API server has.
                410 | 504 => Self::Expired,
                _ => Self::Other(status.to_string().into()),
            },
            other => Self::Other(other.to_string().into()),
        }
    }
}

/// The sum of all changes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    scopes: BTreeMap<Scope, Held>,
    resources: Resources,
    slices: Slices,
    state: SourceState,
    resources_changed: bool,
    slices_changed: bool,
}

/// What one watch holds: its objects with their UIDs and versions.
#[derive(Debug, Default)]
struct Held {
    objects: BTreeMap<Name, (Option<String>, u64)>,
    state: KindState,
}

impl Ledger {
    /// Nothing is known of these scopes yet.
    pub(super) fn new(scopes: impl Iterator<Item = Scope>) -> Self {
        let scopes = scopes.map(|scope| (scope, Held::default())).collect();
        // Both are given once even where the cluster holds no object at all.
        let (resources_changed, slices_changed) = (true, true);
        Self { scopes, resources_changed, slices_changed, ..Self::default() }
    }

    /// From now on there are changes of this scope too.
    pub(super) fn expect(&mut self, scope: Scope) {
        self.scopes.entry(scope).or_default();
    }

    /// Changes of this scope no longer count, and what it held goes.
    pub(super) fn forget(&mut self, scope: &Scope) {
        let Some(held) = self.scopes.remove(scope) else { return };
        for name in held.objects.into_keys() {
            self.drop_unheld(scope.kind, name);
        }
        if let Some(object) = scope.object() {
            self.state.answered.remove(&object);
            self.state.refused.remove(&object);
        }
    }

    /// Takes one change in.
    pub(super) fn take(&mut self, change: Change, now: Instant) {
        let Change { scope, news } = change;
        if !self.scopes.contains_key(&scope) {
            return;
        }
        match news {
            News::Failed(trouble) => return self.fail(&scope, &trouble, now),
            News::Listed { objects, version } => self.list(&scope, objects, version),
            News::Applied(object) => {
                self.reach(&scope, version_of(&object.metadata));
                self.put(&scope, *object);
            }
            News::Deleted { name, version } => {
                self.reach(&scope, version);
                self.saw(scope.kind, version);
                self.take_away(&scope, name);
            }
            News::Bookmark(version) => self.reach(&scope, version),
            News::Heard => {}
        }
        if let Some(held) = self.scopes.get_mut(&scope) {
            held.state.heard = Some(now);
            held.state.failing = None;
            held.state.missing = false;
        }
        self.sum_up(scope.kind);
    }

    /// Gives on what has changed, once everything was listed.
    pub(super) fn publish(&mut self, publisher: &Publisher) {
        self.state.synced |=
            self.scopes.iter().all(|(scope, held)| scope.object().is_some() || held.state.listed);
        self.state.statuses = self.state.synced;
        if self.state.synced {
            if std::mem::take(&mut self.slices_changed) {
                publisher.slices.send_replace(Arc::new(self.slices.clone()));
            }
            if std::mem::take(&mut self.resources_changed) {
                publisher.resources.send_replace(Arc::new(self.resources.clone()));
            }
        }
        publisher.state.send_replace(self.state.clone());
    }

    fn list(&mut self, scope: &Scope, objects: Vec<DynamicObject>, version: u64) {
        self.begin_anew_if_restored(scope, version);
        self.reach(scope, version);
        let mut gone = match self.scopes.get_mut(scope) {
            Some(held) => {
                held.state.listed = true;
                held.objects.clone()
            }
            None => return,
        };
        for object in objects {
            gone.remove(&name_of(scope.kind, &object));
            self.put(scope, object);
        }
        for name in gone.into_keys() {
            self.take_away(scope, name);
        }
        if let Some(object) = scope.object() {
            self.state.refused.remove(&object);
            self.state.answered.insert(object);
        }
    }

    /// A list that is older than what was read before: the API server's data was restored, and
    /// versions count anew.
    fn begin_anew_if_restored(&mut self, scope: &Scope, version: u64) {
        let reached = self.state.reached.get(&scope.kind).copied().unwrap_or_default();
        if scope.is_everything() && version < reached {
            self.state.reached.remove(&scope.kind);
            if scope.kind == Kind::EndpointSlice {
                self.slices.version = 0;
            } else {
                self.resources.versions.remove(&scope.kind);
            }
            if let Some(held) = self.scopes.get_mut(scope) {
                // None of them counts as known, so that their versions are seen again.
                held.objects.values_mut().for_each(|known| known.1 = 0);
            }
        }
    }

    /// Takes in an object that is not known in this very version: one that was listed again stays
    /// the same to those who compare.
    fn put(&mut self, scope: &Scope, object: DynamicObject) {
        let Some(held) = self.scopes.get_mut(scope) else { return };
        let name = name_of(scope.kind, &object);
        let seen = (object.metadata.uid.clone(), version_of(&object.metadata));
        if held.objects.get(&name) == Some(&seen) {
            return;
        }
        held.objects.insert(name, seen);
        if scope.kind == Kind::EndpointSlice {
            self.slices.apply(object);
            self.slices_changed = true;
        } else {
            self.resources.apply(scope.kind, object);
            self.resources_changed = true;
        }
    }

    fn take_away(&mut self, scope: &Scope, name: Name) {
        if let Some(held) = self.scopes.get_mut(scope) {
            held.objects.remove(&name);
        }
        self.drop_unheld(scope.kind, name);
    }

    /// Drops an object unless another watch holds it too.
    fn drop_unheld(&mut self, kind: Kind, name: Name) {
        let mut others = self.scopes.iter().filter(|(scope, _)| scope.kind == kind);
        if others.any(|(_, held)| held.objects.contains_key(&name)) {
            return;
        }
        if kind == Kind::EndpointSlice {
            self.slices.remove(&name);
            self.slices_changed = true;
        } else {
            self.resources.remove(&ObjectRef::new(kind, name));
            self.resources_changed = true;
        }
    }

    fn saw(&mut self, kind: Kind, version: u64) {
        if kind == Kind::EndpointSlice {
            self.slices.saw(version);
        } else {
            self.resources.saw(kind, version);
        }
    }

    fn reach(&mut self, scope: &Scope, version: u64) {
        if scope.is_everything() {
            self.state.reach(scope.kind, version);
        }
    }

    fn fail(&mut self, scope: &Scope, trouble: &Trouble, now: Instant) {
        let message = trouble.message();
        if let Some(object) = scope.object() {
            // An unreachable API server answers nothing; a refusal is an answer.
            if matches!(trouble, Trouble::Forbidden(_) | Trouble::Missing(_)) {
                self.state.answered.insert(object.clone());
            }
            self.state.refused.insert(object, message);
            return;
        }
        let missing = matches!(trouble, Trouble::Missing(_));
        if missing {
            self.list(scope, Vec::new(), 0);
        }
        if let Some(held) = self.scopes.get_mut(scope) {
            if missing {
                held.state.heard = Some(now);
            }
            held.state.missing = missing;
            held.state.failing = Some(message).filter(|_| !missing);
        }
        self.sum_up(scope.kind);
    }

    /// Says of a kind what its watches say together; those of single objects aside.
    fn sum_up(&mut self, kind: Kind) {
        let mut of_kind = self
            .scopes
            .iter()
            .filter(|(scope, _)| scope.kind == kind && scope.object().is_none())
            .map(|(_, held)| &held.state);
        let Some(mut sum) = of_kind.next().cloned() else { return };
        for other in of_kind {
            sum.listed &= other.listed;
            sum.missing |= other.missing;
            sum.heard = sum.heard.min(other.heard);
            sum.failing = sum.failing.or_else(|| other.failing.clone());
        }
        self.state.kinds.insert(kind, sum);
    }
}

#[cfg(test)]
mod tests;
