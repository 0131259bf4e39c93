//! Which listeners, imports and mirrored Services a route attaches to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::gateway::State;
use super::listener::{From, Listener, Protocol};
use super::mirrored::{self, Parents};
use super::ports::{add_route, remove_route};
use super::reference::GATEWAY_GROUP;
use super::world::{Used, World};
use super::{http_route, stream_route};
use crate::model::{BackendKey, Kind, Name, ObjectRef};
use crate::resources::Broken;
use crate::table::{Age, Hosts, intersect};
use crate::verdict::{Condition, ParentRef, ParentVerdict, Rejected, RouteVerdict};

/// What of a route decides where it attaches.
pub(super) struct Facts {
    pub(super) object: ObjectRef,
    pub(super) generation: i64,
    /// Its own host names, lower case; none for all.
    pub(super) hosts: Vec<String>,
    pub(super) parents: Arc<[ParentRef]>,
}

impl Facts {
    /// The host names under which the route stands on a listener with this host: its own.
    pub(super) fn hosts_on(&self, listener: &str) -> Vec<&str> {
        if self.hosts.is_empty() {
            return vec!["*"];
        }
        let hosts = self.hosts.iter().map(String::as_str);
        hosts.filter(|host| intersect(host, listener)).collect()
    }
}

/// What is attached to a listener.
#[derive(Default)]
pub(super) struct Attached {
    /// All routes, of either kind.
    pub(super) routes: BTreeSet<ObjectRef>,
    /// The rules of `HTTPRoute`s.
    pub(super) hosts: Hosts,
    /// The `TLSRoute`s, the oldest first.
    pub(super) streams: BTreeMap<Age, Arc<stream_route::Route>>,
}

/// Where routes attach.
#[derive(Default)]
pub(super) struct Places {
    /// The Gateways of ours.
    pub(super) gateways: BTreeMap<Name, State>,
    /// The imports and mirrored Services whose calls are ruled by routes.
    pub(super) parents: Parents,
    /// The Gateways, imports and Services to which something else is attached than before.
    pub(super) touched: BTreeSet<ObjectRef>,
}

/// A route that was judged, of either kind.
#[derive(Clone)]
pub(super) enum Route {
    Http(Arc<http_route::Route>),
    Stream(Arc<stream_route::Route>),
}

impl Route {
    /// Everybody whom its rules name, as often as they do.
    pub(super) fn backends(&self) -> Vec<&BackendKey> {
        match self {
            Self::Http(route) => route.backends().collect(),
            Self::Stream(route) => route.backends().collect(),
        }
    }

    fn facts(&self) -> &Facts {
        match self {
            Self::Http(route) => &route.facts,
            Self::Stream(route) => &route.facts,
        }
    }

    /// The same, to be changed, while nobody else holds the route.
    pub(super) fn facts_mut(&mut self) -> Option<&mut Facts> {
        match self {
            Self::Http(route) => Arc::get_mut(route).map(|route| &mut route.facts),
            Self::Stream(route) => Arc::get_mut(route).map(|route| &mut route.facts),
        }
    }

    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Http(route) => route.rejected(),
            Self::Stream(route) => route.rejected.as_ref(),
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        match self {
            Self::Http(route) => route.conditions(),
            Self::Stream(route) => route.conditions(),
        }
    }
}

impl Places {
    /// Judges a route with each of its parents, and attaches it. Says whether anybody took it.
    pub(super) fn attach(&mut self, world: &World<'_>, route: &Route) -> (RouteVerdict, bool) {
        let facts = route.facts();
        let mut verdict = RouteVerdict { generation: facts.generation, parents: vec![] };
        let mut attached = false;
        for parent in &*facts.parents {
            let Some(found) = self.attach_to(world, route, parent) else { continue };
            let rejected = found.err().or_else(|| route.rejected().cloned());
            attached |= rejected.is_none();
            verdict.parents.push(judged(parent, rejected.as_ref(), route.conditions()));
        }
        (verdict, attached)
    }

    /// Attaches a sound route to one parent, or says why it cannot be; `None`: not ours to judge.
    fn attach_to(
        &mut self,
        world: &World<'_>,
        route: &Route,
        parent: &ParentRef,
    ) -> Option<Result<(), Rejected>> {
        let facts = route.facts();
        let sound = route.rejected().is_none();
        if let Some(gateway) = gateway_of(world, facts, parent, &mut self.gateways) {
            let places = match listeners(world, facts, parent, gateway) {
                Ok(places) => places,
                Err(rejected) => return Some(Err(rejected)),
            };
            if sound {
                for at in places {
                    attach(gateway, at, route);
                }
                self.touched.insert(ObjectRef::new(Kind::Gateway, gateway.name.clone()));
            }
            return Some(Ok(()));
        }
        let found = mirrored::parent_of(world, facts, parent)?;
        let Route::Http(http) = route else {
            return Some(Err(Rejected::new(
                "UnsupportedValue",
                "calls to an import or a mirrored Service are ruled by HTTPRoutes only",
            )));
        };
        Some(found.map(|found| {
            if sound {
                self.touched.insert(found.0.clone());
                self.parents.attach(found, Arc::clone(http));
            }
        }))
    }

    /// Takes a route away from where it is attached.
    pub(super) fn detach(&mut self, route: &Route) {
        let facts = route.facts();
        for name in facts.parents.iter().filter_map(|parent| gateway_name(facts, parent)) {
            let Some(gateway) = self.gateways.get_mut(&name) else { continue };
            for (listener, attached) in gateway.listeners.iter().zip(&mut gateway.attached) {
                if !attached.routes.remove(&facts.object) {
                    continue;
                }
                match route {
                    Route::Http(http) => {
                        let hosts = facts.hosts_on(&listener.host);
                        remove_route(&mut attached.hosts, &hosts, http);
                    }
                    Route::Stream(stream) => drop(attached.streams.remove(&stream.age)),
                }
                self.touched.insert(ObjectRef::new(Kind::Gateway, name.clone()));
            }
        }
        self.touched.extend(self.parents.detach(&facts.object));
    }

    /// Judges a route that cannot be read with each parent that it seems to have.
    pub(super) fn judge_broken(
        &mut self,
        world: &World<'_>,
        object: ObjectRef,
        broken: &Broken,
    ) -> RouteVerdict {
        let parents = broken.whole.pointer("/spec/parentRefs").and_then(Value::as_array);
        let parents = parents.into_iter().flatten();
        let parents = parents.filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
        let generation = broken.generation.unwrap_or_default();
        let facts = Facts { object, generation, hosts: vec![], parents };
        let message = format!("`{}` cannot be read: {}", broken.field, broken.message);
        let rejected = Rejected::new("UnsupportedValue", message);
        let mut parents = Vec::new();
        for parent in &*facts.parents {
            if gateway_of(world, &facts, parent, &mut self.gateways).is_some()
                || mirrored::parent_of(world, &facts, parent).is_some()
            {
                parents.push(judged(parent, Some(&rejected), vec![]));
            }
        }
        RouteVerdict { generation, parents }
    }
}

fn judged(parent: &ParentRef, rejected: Option<&Rejected>, more: Vec<Condition>) -> ParentVerdict {
    let mut conditions = vec![Condition::of("Accepted", "Accepted", rejected)];
    conditions.extend(more);
    ParentVerdict { parent: parent.clone(), conditions }
}

/// A route counts once per listener, however often it names it.
fn attach(gateway: &mut State, at: usize, route: &Route) {
    let listener = gateway.listeners.get(at).zip(gateway.attached.get_mut(at));
    let Some((listener, attached)) = listener else { return };
    let facts = route.facts();
    if !attached.routes.insert(facts.object.clone()) {
        return;
    }
    match route {
        Route::Http(http) => add_route(&mut attached.hosts, &facts.hosts_on(&listener.host), http),
        Route::Stream(stream) => {
            attached.streams.insert(stream.age.clone(), Arc::clone(stream));
        }
    }
}

/// The name of the Gateway that is meant, if it is one.
fn gateway_name(facts: &Facts, parent: &ParentRef) -> Option<Name> {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    if group != GATEWAY_GROUP || parent.kind.as_deref().unwrap_or("Gateway") != "Gateway" {
        return None;
    }
    let namespace = parent.namespace.as_deref().unwrap_or(&facts.object.name.namespace);
    Some(Name::new(namespace, &parent.name))
}

/// The Gateway of ours that is meant, if any.
fn gateway_of<'g>(
    world: &World<'_>,
    facts: &Facts,
    parent: &ParentRef,
    gateways: &'g mut BTreeMap<Name, State>,
) -> Option<&'g mut State> {
    let name = gateway_name(facts, parent)?;
    world.note(Used::Object(ObjectRef::new(Kind::Gateway, name.clone())));
    gateways.get_mut(&name)
}

/// The places of the listeners that take the route, or why none does.
fn listeners(
    world: &World<'_>,
    facts: &Facts,
    parent: &ParentRef,
    gateway: &State,
) -> Result<Vec<usize>, Rejected> {
    let fits = |listener: &Listener| {
        parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
            && parent.port.is_none_or(|port| listener.port.map(i32::from) == Some(port))
    };
    let all = gateway.listeners.iter().enumerate();
    let mut left: Vec<_> = all.filter(|(_, listener)| fits(listener)).collect();
    if left.is_empty() {
        let message = format!("Gateway {} has no such listener", gateway.name);
        return Err(Rejected::new("NoMatchingParent", message));
    }
    let is_tls_route = facts.object.kind == Kind::TlsRoute;
    let speaks_tls = |one: &Listener| matches!(one.protocol, Some(Protocol::Tls) | None);
    if is_tls_route && !left.iter().any(|(_, listener)| speaks_tls(listener)) {
        let message = format!("Gateway {} has no such listener that speaks TLS", gateway.name);
        return Err(Rejected::new("NoMatchingParent", message));
    }
    let kind = facts.object.kind.label();
    left.retain(|(_, one)| one.kinds.contains(&kind) && lets_in(world, one, facts, gateway));
    if left.is_empty() {
        let message = format!("no listener of Gateway {} allows this route", gateway.name);
        return Err(Rejected::new("NotAllowedByListeners", message));
    }
    left.retain(|(_, listener)| !facts.hosts_on(&listener.host).is_empty());
    if left.is_empty() {
        let message =
            format!("no listener of Gateway {} has any of these host names", gateway.name);
        return Err(Rejected::new("NoMatchingListenerHostname", message));
    }
    Ok(left.into_iter().map(|(at, _)| at).collect())
}

fn lets_in(world: &World<'_>, listener: &Listener, facts: &Facts, gateway: &State) -> bool {
    let namespace = &facts.object.name.namespace;
    match &listener.from {
        From::Same => *namespace == gateway.name.namespace,
        From::All => true,
        From::Nowhere => false,
        From::Selector(selector) => {
            let found = world.namespace(&Name::new("", namespace));
            let labels = found.and_then(|namespace| namespace.metadata.labels.as_ref());
            found.is_some()
                && selector.matches(|key| labels.and_then(|all| all.get(key)).map(String::as_str))
        }
    }
}
