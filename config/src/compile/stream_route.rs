//! `TLSRoute`s: connections that are passed through by their SNI.

use std::sync::Arc;

use super::attach::Facts;
use super::backend::{Carries, resolve};
use super::http_route::weight;
use super::listener::host;
use super::reference::{BackendRef, created};
use super::world::World;
use crate::api::TlsRoute;
use crate::model::{BackendKey, Kind, Name, ObjectRef};
use crate::table::{Age, Backend, RuleId, StreamRule, Target};
use crate::verdict::{Condition, Rejected};

/// A route that was judged.
pub(super) struct Route {
    pub(super) facts: Facts,
    /// The oldest first: it wins a host that two of them name.
    pub(super) age: Age,
    pub(super) rule: Arc<StreamRule>,
    pub(super) rejected: Option<Rejected>,
    unresolved: Option<Rejected>,
}

impl Route {
    /// Everybody whom its rule names, as often as it does.
    pub(super) fn backends(&self) -> impl Iterator<Item = &BackendKey> {
        self.rule.backends.iter().filter_map(Backend::key)
    }

    /// The conditions beside Accepted.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        vec![Condition::of("ResolvedRefs", "ResolvedRefs", self.unresolved.as_ref())]
    }
}

/// Judges a route by itself.
pub(super) fn read(world: &World<'_>, name: &Name, route: &TlsRoute) -> Route {
    let object = ObjectRef::new(Kind::TlsRoute, name.clone());
    let spec = &route.spec;
    let rule = spec.rules.first();
    let mut unresolved = None;
    let mut backends = Vec::new();
    for reference in rule.into_iter().flat_map(|rule| &rule.backend_refs).map(BackendRef::from) {
        let target = match resolve(world, &object, &reference, Carries::Bytes) {
            Ok(key) => Target::Endpoints(key),
            Err(rejected) => {
                let target = Target::Invalid(rejected.message.as_str().into());
                unresolved = unresolved.or(Some(rejected));
                target
            }
        };
        backends.push(Backend { weight: weight(&reference), target, filters: Arc::default() });
    }
    let rejected = (spec.rules.len() != 1).then(|| {
        Rejected::new("UnsupportedValue", "a TLSRoute has exactly one rule: nothing could choose")
    });
    let rule_name = rule.and_then(|rule| rule.name.as_deref()).map(Into::into);
    let id = RuleId { route: object.clone(), index: 0, name: rule_name };
    Route {
        facts: Facts {
            object,
            generation: route.metadata.generation.unwrap_or_default(),
            hosts: spec.hostnames.iter().map(|name| host(Some(name))).collect(),
            parents: spec.parent_refs.iter().flatten().map(Into::into).collect(),
        },
        age: Age { created: created(&route.metadata), route: name.clone() },
        rule: Arc::new(StreamRule { id, backends: backends.into() }),
        rejected,
        unresolved,
    }
}
