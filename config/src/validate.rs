//! Lists all that is wrong with a set of objects, as the production compile sees it.

use crate::compile::Compiled;
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Objects, Resources};
use crate::verdict::Condition;

#[cfg(test)]
mod tests;

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object.
    pub object: ObjectRef,
    /// Where in it, as a path; empty where it is the object as a whole.
    pub field: String,
    /// The reason, as it stands in a condition.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// The problems of `resources`, of which `compiled` was made, in the order of the objects.
pub fn problems(resources: &Resources, compiled: &Compiled) -> Vec<Problem> {
    let mut problems = broken(resources);
    for (name, verdict) in &compiled.verdicts.classes {
        let object = ObjectRef::new(Kind::GatewayClass, name.clone());
        add(&mut problems, &object, "spec", &verdict.conditions);
    }
    for (name, verdict) in &compiled.verdicts.gateways {
        let object = ObjectRef::new(Kind::Gateway, name.clone());
        add(&mut problems, &object, "spec", &verdict.conditions);
        for (at, listener) in verdict.listeners.iter().enumerate() {
            let field = format!("spec.listeners[{at}]");
            add(&mut problems, &object, &field, &listener.conditions);
        }
    }
    for (object, verdict) in &compiled.verdicts.routes {
        for (at, parent) in verdict.parents.iter().enumerate() {
            let field = format!("spec.parentRefs[{at}]");
            add(&mut problems, object, &field, &parent.conditions);
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

fn add(problems: &mut Vec<Problem>, object: &ObjectRef, field: &str, conditions: &[Condition]) {
    for condition in conditions.iter().filter(|condition| is_bad(condition)) {
        // A rule or a backend is wrong whoever the parent is, so the parent is not the place.
        let of_parent = object.kind == Kind::HttpRoute || object.kind == Kind::TlsRoute;
        let is_inside = matches!(condition.reason, "UnsupportedValue")
            || condition.type_ == "ResolvedRefs" && of_parent;
        problems.push(Problem {
            object: object.clone(),
            field: if is_inside && of_parent { "spec.rules".to_owned() } else { field.to_owned() },
            reason: condition.reason.to_owned(),
            message: condition.message.clone(),
        });
    }
}

/// Some conditions are bad news when they hold, most when they do not.
fn is_bad(condition: &Condition) -> bool {
    match condition.type_ {
        // What conflicts is not accepted either, and says so there.
        "Conflicted" => false,
        "PartiallyInvalid" | "InsecureFrontendValidationMode" => condition.holds,
        _ => !condition.holds,
    }
}

fn broken(resources: &Resources) -> Vec<Problem> {
    fn of<T>(problems: &mut Vec<Problem>, kind: Kind, objects: &Objects<T>) {
        problems.extend(objects.broken.iter().map(|(name, broken): (&Name, _)| Problem {
            object: ObjectRef::new(kind, name.clone()),
            field: broken.field.clone(),
            reason: "Unreadable".to_owned(),
            message: broken.message.clone(),
        }));
    }
    let mut all = Vec::new();
    of(&mut all, Kind::ClusterLink, &resources.cluster_links);
    of(&mut all, Kind::ConfigMap, &resources.config_maps);
    of(&mut all, Kind::Gateway, &resources.gateways);
    of(&mut all, Kind::GatewayClass, &resources.gateway_classes);
    of(&mut all, Kind::HttpRoute, &resources.http_routes);
    of(&mut all, Kind::Namespace, &resources.namespaces);
    of(&mut all, Kind::Pod, &resources.pods);
    of(&mut all, Kind::ReferenceGrant, &resources.reference_grants);
    of(&mut all, Kind::Secret, &resources.secrets);
    of(&mut all, Kind::Service, &resources.services);
    of(&mut all, Kind::ServiceExport, &resources.service_exports);
    of(&mut all, Kind::ServiceImport, &resources.service_imports);
    of(&mut all, Kind::TlsRoute, &resources.tls_routes);
    all
}
