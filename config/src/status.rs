//! From verdicts, and what the objects hold now, to the status patches that are missing.
//!
//! Pure: the leader alone applies them. Entries and conditions of other controllers stay as they
//! are; a condition's time moves only when its status does.

mod conditions;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use imbl::OrdMap;
use jiff::Timestamp;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use crate::api::{HttpRoute, TlsRoute};
use crate::compile::Context;
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Objects, Resources, changed};
use crate::table::PortOwner;
use crate::verdict::{
    Condition, GatewayVerdict, ListenerVerdict, ParentRef, Rejected, RouteVerdict, Verdicts,
};

use self::conditions::merged;

#[cfg(test)]
mod tests;

/// The condition types of a Gateway that are ours.
const OF_GATEWAY: [&str; 3] = ["Accepted", "Programmed", "InsecureFrontendValidationMode"];
/// The condition types of a listener that are ours.
const OF_LISTENER: [&str; 4] = ["Accepted", "Programmed", "ResolvedRefs", "Conflicted"];
/// The condition types of a route's parent entry: the whole entry is ours.
const OF_PARENT: [&str; 3] = ["Accepted", "ResolvedRefs", "PartiallyInvalid"];
/// The condition types of a class that are ours.
const OF_CLASS: [&str; 1] = ["Accepted"];

/// The reason of a Gateway, and of its listener, for which no container port is left: time alone
/// does not help, as it does with `Pending`.
const NO_RESOURCES: &str = "NoResources";
/// The reason of a Gateway, of its listener, and of an import whose container port a gateway could
/// not bind.
pub const BIND_FAILED: &str = "BindFailed";
/// The reason while what is missing comes by itself.
const PENDING: &str = "Pending";

/// What the gateways and the load balancers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The ports that gateways have bound, each for this owner.
    pub bound: BTreeSet<PortOwner>,
    /// The ports that a gateway could not bind, each with a sentence that names it and says why.
    pub unbound: BTreeMap<PortOwner, String>,
    /// The owners for which no container port is left, each with a sentence.
    pub exhausted: BTreeMap<PortOwner, String>,
    /// The addresses of each Gateway.
    pub addresses: BTreeMap<Name, Vec<Address>>,
}

/// An address of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the type of that name")]
pub enum Address {
    IPAddress(String),
    Hostname(String),
}

impl Address {
    fn to_json(&self) -> Value {
        match self {
            Self::IPAddress(value) => json!({ "type": "IPAddress", "value": value }),
            Self::Hostname(value) => json!({ "type": "Hostname", "value": value }),
        }
    }
}

/// A JSON merge patch of an object's status. It names the version that it was made from, so that
/// a write by somebody else in the meantime is not lost: such a patch is refused and made anew.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPatch {
    /// Whose status.
    pub object: ObjectRef,
    /// The patch.
    pub body: Value,
}

/// The routes as they were when patches were made last. Their statuses say what they should, but for
/// those that are open, so that only what has changed since is looked at.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    verdicts: OrdMap<ObjectRef, Arc<RouteVerdict>>,
    http_routes: Objects<HttpRoute>,
    tls_routes: Objects<TlsRoute>,
    /// Those for which there was a patch: whether it was applied the objects will tell.
    open: BTreeSet<ObjectRef>,
}

impl Settled {
    /// The routes that are to be looked at.
    fn due(&mut self, resources: &Resources, verdicts: &Verdicts) -> BTreeSet<ObjectRef> {
        let Resources { http_routes, tls_routes, .. } = resources;
        let mut due = mem::take(&mut self.open);
        due.extend(changed(&self.verdicts, &verdicts.routes));
        let of = |kind| move |name| ObjectRef::new(kind, name);
        due.extend(http_routes.changed_since(&self.http_routes).map(of(Kind::HttpRoute)));
        due.extend(tls_routes.changed_since(&self.tls_routes).map(of(Kind::TlsRoute)));
        self.verdicts = verdicts.routes.clone();
        self.http_routes = http_routes.clone();
        self.tls_routes = tls_routes.clone();
        due
    }
}

/// The patches that are missing, in the order of their objects; `now` is when a condition that
/// changes is said to have changed.
pub fn patches(
    resources: &Resources,
    verdicts: &Verdicts,
    (observed, settled): (&Observed, &mut Settled),
    (context, now): (&Context, Timestamp),
) -> Vec<StatusPatch> {
    let mut patches = Vec::new();
    for (name, verdict) in &verdicts.classes {
        let object = ObjectRef::new(Kind::GatewayClass, name.clone());
        if let Some((version, old)) = held(resources, &object) {
            let wanted = (&*verdict.conditions, &OF_CLASS[..]);
            let conditions = merged(conditions_of(&old), wanted, verdict.generation, now);
            let new = json!({ "conditions": conditions });
            patches.extend(patch(object, version.as_deref(), &old, &new));
        }
    }
    for (name, verdict) in &verdicts.gateways {
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        if let Some((version, old)) = held(resources, &object) {
            let addresses = observed.addresses.get(name).map(Vec::as_slice).unwrap_or_default();
            let new = gateway_status(verdict, &old, (observed, addresses), now);
            patches.extend(patch(object, version.as_deref(), &old, &new));
        }
    }
    for object in settled.due(resources, verdicts) {
        let Some(verdict) = verdicts.routes.get(&object) else { continue };
        let Some((version, old)) = held(resources, &object) else { continue };
        let new = route_status(verdict, &old, &context.controller, now);
        if let Some(new) = new.and_then(|new| patch(object, version.as_deref(), &old, &new)) {
            settled.open.insert(new.object.clone());
            patches.push(new);
        }
    }
    patches
}

/// The version and the status of an object, whether it could be read or not.
fn held(resources: &Resources, object: &ObjectRef) -> Option<(Option<String>, Value)> {
    fn of<K, T>(
        objects: &Objects<K>,
        name: &Name,
        read: impl Fn(&K) -> (&ObjectMeta, Option<&T>),
    ) -> Option<(Option<String>, Value)>
    where
        T: serde::Serialize,
    {
        if let Some(object) = objects.get(name) {
            let (metadata, status) = read(object);
            return Some((metadata.resource_version.clone(), to_json(status)));
        }
        let whole = &objects.broken.get(name)?.whole;
        let version = whole.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let status = whole.get("status").cloned().unwrap_or_default();
        Some((version.map(str::to_owned), status))
    }
    let name = &object.name;
    match object.kind {
        Kind::Gateway => of(&resources.gateways, name, |one| (&one.metadata, one.status.as_ref())),
        Kind::HttpRoute => {
            of(&resources.http_routes, name, |one| (&one.metadata, one.status.as_ref()))
        }
        Kind::TlsRoute => {
            of(&resources.tls_routes, name, |one| (&one.metadata, one.status.as_ref()))
        }
        Kind::GatewayClass => {
            of(&resources.gateway_classes, name, |one| (&one.metadata, one.status.as_ref()))
        }
        _ => None,
    }
}

fn to_json<T: serde::Serialize>(status: Option<&T>) -> Value {
    // Statuses were read from JSON: they can be written as JSON again.
    serde_json::to_value(status).unwrap_or_default()
}

fn conditions_of(status: &Value) -> &[Value] {
    array(status, "conditions")
}

fn array<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The patch, unless the object holds all of it already.
fn patch(
    object: ObjectRef,
    version: Option<&str>,
    old: &Value,
    new: &Value,
) -> Option<StatusPatch> {
    let fields = new.as_object()?;
    if fields.iter().all(|(field, value)| old.get(field) == Some(value)) {
        return None;
    }
    let metadata =
        version.map_or_else(|| json!({}), |version| json!({ "resourceVersion": version }));
    Some(StatusPatch { object, body: json!({ "metadata": metadata, "status": new }) })
}

fn gateway_status(
    verdict: &GatewayVerdict,
    old: &Value,
    (observed, addresses): (&Observed, &[Address]),
    now: Timestamp,
) -> Value {
    let programmed: Vec<_> =
        verdict.listeners.iter().map(|one| listener_programmed(one, observed)).collect();
    let mut wanted = verdict.conditions.clone();
    wanted.push(gateway_programmed(verdict, &programmed, addresses));
    let listeners = verdict.listeners.iter().zip(programmed).map(|(listener, programmed)| {
        let old = array(old, "listeners");
        let old =
            old.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(&listener.name));
        let mut wanted = listener.conditions.clone();
        wanted.push(programmed);
        let old = old.map(conditions_of).unwrap_or_default();
        let kinds = listener.supported_kinds.iter();
        json!({
            "name": listener.name,
            "attachedRoutes": listener.attached_routes,
            "supportedKinds": kinds.map(|kind| json!({
                "group": "gateway.networking.k8s.io", "kind": kind,
            })).collect::<Vec<_>>(),
            "conditions": merged(old, (&wanted, &OF_LISTENER), verdict.generation, now),
        })
    });
    let listeners: Vec<_> = listeners.collect();
    json!({
        "conditions": merged(conditions_of(old), (&wanted, &OF_GATEWAY), verdict.generation, now),
        "listeners": listeners,
        "addresses": addresses.iter().map(Address::to_json).collect::<Vec<_>>(),
    })
}

/// Whether connections to the listener are served.
fn listener_programmed(listener: &ListenerVerdict, observed: &Observed) -> Condition {
    let no = |reason, message: &str| Condition::no("Programmed", &Rejected::new(reason, message));
    let Some(owner) = listener.owner.as_ref().filter(|_| listener.servable) else {
        return no("Invalid", "the listener is not valid, or what it refers to is not");
    };
    if listener.container_port.is_none() {
        return match observed.exhausted.get(owner) {
            Some(sentence) => no(NO_RESOURCES, sentence),
            None => no(PENDING, "no container port is allotted yet"),
        };
    }
    // One that has not bound it gets connections all the same: it stands behind the same Service.
    if let Some(sentence) = observed.unbound.get(owner) {
        return no(BIND_FAILED, sentence);
    }
    if !observed.bound.contains(owner) {
        return no(PENDING, "no gateway reports that it has bound the port");
    }
    Condition::yes("Programmed", "Programmed")
}

fn gateway_programmed(
    verdict: &GatewayVerdict,
    listeners: &[Condition],
    addresses: &[Address],
) -> Condition {
    let no = |reason, message: &str| Condition::no("Programmed", &Rejected::new(reason, message));
    if !verdict.accepted || listeners.iter().all(|one| one.reason == "Invalid") {
        return no("Invalid", "no listener can be served");
    }
    for reason in [NO_RESOURCES, BIND_FAILED, PENDING] {
        if let Some(listener) = listeners.iter().find(|one| one.reason == reason) {
            return no(reason, &listener.message);
        }
    }
    if addresses.is_empty() {
        return no("AddressNotAssigned", "the LoadBalancer Service has no address yet");
    }
    Condition::yes("Programmed", "Programmed")
}

/// The entries of all controllers with ours renewed; `None` if ours are as they should be.
fn route_status(
    verdict: &RouteVerdict,
    old: &Value,
    controller: &str,
    now: Timestamp,
) -> Option<Value> {
    let is_ours =
        |entry: &&Value| entry.get("controllerName").and_then(Value::as_str) == Some(controller);
    let entries = array(old, "parents");
    let ours: Vec<&Value> = entries.iter().filter(is_ours).collect();
    let mut seen: BTreeSet<&ParentRef> = BTreeSet::new();
    let parents = verdict.parents.iter().filter(|one| seen.insert(&one.parent)).map(|one| {
        let reference = to_json(Some(&one.parent));
        let old = ours.iter().find(|entry| entry.get("parentRef") == Some(&reference));
        let old = old.map(|entry| conditions_of(entry)).unwrap_or_default();
        json!({
            "controllerName": controller,
            "parentRef": reference,
            "conditions": merged(old, (&one.conditions, &OF_PARENT), verdict.generation, now),
        })
    });
    let wanted: Vec<Value> = parents.collect();
    if ours.iter().copied().eq(wanted.iter()) {
        return None;
    }
    let foreign = entries.iter().filter(|entry| !is_ours(entry)).cloned();
    Some(json!({ "parents": foreign.chain(wanted).collect::<Vec<_>>() }))
}
