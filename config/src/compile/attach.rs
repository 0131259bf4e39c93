//! Which listeners, imports and mirrored Services a route attaches to.

use std::sync::Arc;

use serde_json::Value;

use super::gateway::State;
use super::listener::{From, Listener, Protocol};
use super::mirrored::{self, Parents};
use super::reference::GATEWAY_GROUP;
use super::{http_route, stream_route};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Broken, Resources};
use crate::table::intersect;
use crate::verdict::{Condition, ParentRef, ParentVerdict, Rejected, RouteVerdict};

/// What of a route decides where it attaches.
pub(super) struct Facts {
    pub(super) object: ObjectRef,
    pub(super) generation: i64,
    /// Its own host names, lower case; none for all.
    pub(super) hosts: Vec<String>,
    pub(super) parents: Vec<ParentRef>,
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

/// The routes on a listener.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) http: Vec<Arc<http_route::Route>>,
    pub(super) streams: Vec<Arc<stream_route::Route>>,
}

/// Judges an `HTTPRoute` with each of its parents, and attaches it.
pub(super) fn http(
    route: &Arc<http_route::Route>,
    gateways: &mut [State],
    parents: &mut Parents,
    resources: &Resources,
) -> RouteVerdict {
    let facts = &route.facts;
    let mut verdict = RouteVerdict { generation: facts.generation, parents: vec![] };
    for parent in &facts.parents {
        let found = match gateway_of(facts, parent, gateways) {
            Some(gateway) => listeners(facts, parent, gateway, resources).map(|places| {
                if route.rejected().is_none() {
                    attach(gateway, &places, &facts.object, |all| all.http.push(Arc::clone(route)));
                }
            }),
            None => match mirrored::parent_of(facts, parent, resources) {
                Some(found) => found.map(|found| {
                    if route.rejected().is_none() {
                        parents.attach(found, Arc::clone(route));
                    }
                }),
                None => continue,
            },
        };
        let rejected = found.err().or_else(|| route.rejected().cloned());
        verdict.parents.push(judged(parent, rejected.as_ref(), route.conditions()));
    }
    verdict
}

/// Judges a route that cannot be read with each parent that it seems to have.
pub(super) fn broken(
    object: ObjectRef,
    broken: &Broken,
    gateways: &mut [State],
    resources: &Resources,
) -> RouteVerdict {
    let parents = broken.whole.pointer("/spec/parentRefs").and_then(Value::as_array);
    let parents = parents.into_iter().flatten();
    let parents = parents.filter_map(|one| serde_json::from_value(one.clone()).ok()).collect();
    let generation = broken.generation.unwrap_or_default();
    let facts = Facts { object, generation, hosts: vec![], parents };
    let message = format!("`{}` cannot be read: {}", broken.field, broken.message);
    let rejected = Rejected::new("UnsupportedValue", message);
    let mut parents = Vec::new();
    for parent in &facts.parents {
        if gateway_of(&facts, parent, gateways).is_some()
            || mirrored::parent_of(&facts, parent, resources).is_some()
        {
            parents.push(judged(parent, Some(&rejected), vec![]));
        }
    }
    RouteVerdict { generation, parents }
}

/// Judges a `TLSRoute` with each of its parents, and attaches it.
pub(super) fn stream(
    route: &Arc<stream_route::Route>,
    gateways: &mut [State],
    resources: &Resources,
) -> RouteVerdict {
    let facts = &route.facts;
    let mut verdict = RouteVerdict { generation: facts.generation, parents: vec![] };
    for parent in &facts.parents {
        let found = match gateway_of(facts, parent, gateways) {
            Some(gateway) => listeners(facts, parent, gateway, resources).map(|places| {
                if route.rejected.is_none() {
                    let add = |all: &mut Attached| all.streams.push(Arc::clone(route));
                    attach(gateway, &places, &facts.object, add);
                }
            }),
            None => match mirrored::parent_of(facts, parent, resources) {
                Some(_) => Err(Rejected::new(
                    "UnsupportedValue",
                    "calls to an import or a mirrored Service are ruled by HTTPRoutes only",
                )),
                None => continue,
            },
        };
        let rejected = found.err().or_else(|| route.rejected.clone());
        verdict.parents.push(judged(parent, rejected.as_ref(), route.conditions()));
    }
    verdict
}

fn judged(parent: &ParentRef, rejected: Option<&Rejected>, more: Vec<Condition>) -> ParentVerdict {
    let mut conditions = vec![Condition::of("Accepted", "Accepted", rejected)];
    conditions.extend(more);
    ParentVerdict { parent: parent.clone(), conditions }
}

/// A route counts once per listener, however often it names it.
fn attach(
    gateway: &mut State,
    places: &[usize],
    route: &ObjectRef,
    mut add: impl FnMut(&mut Attached),
) {
    for at in places {
        let listener = gateway.listeners.get_mut(*at);
        if listener.is_some_and(|listener| listener.attached.insert(route.clone()))
            && let Some(attached) = gateway.attached.get_mut(*at)
        {
            add(attached);
        }
    }
}

/// The Gateway of ours that is meant, if any.
fn gateway_of<'g>(
    facts: &Facts,
    parent: &ParentRef,
    gateways: &'g mut [State],
) -> Option<&'g mut State> {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    if group != GATEWAY_GROUP || parent.kind.as_deref().unwrap_or("Gateway") != "Gateway" {
        return None;
    }
    let namespace = parent.namespace.as_deref().unwrap_or(&facts.object.name.namespace);
    let name = Name::new(namespace, &parent.name);
    // They come out of an ordered map and so lie in the order of their names.
    let at = gateways.binary_search_by(|gateway| gateway.name.cmp(&name)).ok()?;
    gateways.get_mut(at)
}

/// The places of the listeners that take the route, or why none does.
fn listeners(
    facts: &Facts,
    parent: &ParentRef,
    gateway: &State,
    resources: &Resources,
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
    left.retain(|(_, one)| one.kinds.contains(&kind) && lets_in(one, facts, gateway, resources));
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

fn lets_in(listener: &Listener, facts: &Facts, gateway: &State, resources: &Resources) -> bool {
    let namespace = &facts.object.name.namespace;
    match &listener.from {
        From::Same => *namespace == gateway.name.namespace,
        From::All => true,
        From::Nowhere => false,
        From::Selector(selector) => {
            let found = resources.namespaces.get(&Name::new("", namespace));
            let labels = found.and_then(|namespace| namespace.metadata.labels.as_ref());
            found.is_some()
                && selector.matches(|key| labels.and_then(|all| all.get(key)).map(String::as_str))
        }
    }
}
