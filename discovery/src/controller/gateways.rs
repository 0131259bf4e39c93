//! The leader's work for Gateways: their Services, role bindings and conditions.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::compile::{Compiled, Compiler};
use config::gateway_service::{
    self, FINALIZER, RoleBindingSettings, SECRET_READER, ServiceSettings, plan_role_bindings,
};
use config::marks::{MANAGED_BY, MANAGER};
use config::model::{Kind, Name, ObjectRef};
use config::resources::Resources;
use config::status;
use config::table::PortOwner;
use k8s_openapi::api::core::v1::Service;
use serde::Serialize;
use serde_json::Value;

use crate::plan::{Change, Doomed, Object};
use crate::status::StatusPatch;

use super::round::{Gateways, Ports, Seen};

/// What is made beside the conditions, in a Kubernetes cluster.
#[derive(Clone, Debug)]
pub struct Objects {
    /// How LoadBalancer Services are made.
    pub services: ServiceSettings,
    /// Who is to read Secrets.
    pub bindings: RoleBindingSettings,
}

/// The work for Gateways.
#[derive(Clone, Debug)]
pub struct Work {
    compiler: Compiler,
    objects: Option<Objects>,
    settled: status::Settled,
}

impl Work {
    /// The work; without `objects` it is conditions alone, as for a directory.
    pub fn new(compiler: Compiler, objects: Option<Objects>) -> Self {
        Self { compiler, objects, settled: status::Settled::default() }
    }

    fn bindings(&self, seen: &Seen<'_>, compiled: &Compiled) -> Vec<Change> {
        let Some(objects) = &self.objects else { return Vec::new() };
        let standing = &seen.resources.role_bindings;
        let plan = plan_role_bindings(&compiled.wanted, standing, &objects.bindings);
        let mut changes = Vec::new();
        for binding in &plan.apply {
            let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
            let name = Name::new(namespace, SECRET_READER);
            changes.extend(object(Kind::RoleBinding, &name, binding).map(Change::Apply));
        }
        let held = |name: &Name| standing.get(name).map(|held| (name.clone(), &held.metadata));
        changes.extend(plan.delete.iter().filter_map(held).map(|(name, metadata)| {
            Change::Delete(Doomed {
                reference: ObjectRef::new(Kind::RoleBinding, name),
                uid: metadata.uid.clone(),
                resource_version: metadata.resource_version.clone(),
            })
        }));
        changes
    }
}

impl Gateways for Work {
    type View = Arc<Compiled>;

    fn look(&self, seen: &Seen<'_>) -> Arc<Compiled> {
        self.compiler.compile(seen.resources)
    }

    fn owners(&self, compiled: &Arc<Compiled>) -> BTreeMap<PortOwner, Name> {
        compiled.wanted_ports.iter().cloned().collect()
    }

    fn round(
        &mut self,
        seen: &Seen<'_>,
        compiled: Arc<Compiled>,
        ports: &Ports,
    ) -> (Vec<Change>, Vec<StatusPatch>) {
        let mut changes = self.bindings(seen, &compiled);
        let planned = self.objects.as_ref().map(|objects| {
            gateway_service::plan(seen.resources, &compiled.verdicts, &objects.services)
        });
        let planned = planned.unwrap_or_default();
        changes.extend(services(seen.resources, &planned));
        // Of the ports of Services, which may be many, no Gateway says anything.
        let bound = compiled.wanted_ports.iter().map(|(owner, _)| owner).filter(|owner| {
            ports.allotted.get(*owner).is_some_and(|port| {
                let key = (*port, (*owner).clone());
                seen.reports.values().any(|report| report.bound.contains(&key))
            })
        });
        let unbound = seen.reports.values().flat_map(|report| report.unbound());
        let exhausted = ports.exhausted.iter().map(|owner| {
            let sentence = seen.settings.range.exhausted(owner.port);
            (owner.clone(), sentence)
        });
        let observed = status::Observed {
            bound: bound.cloned().collect(),
            unbound: unbound.map(|(owner, sentence)| (owner.clone(), sentence)).collect(),
            exhausted: exhausted.collect(),
            addresses: planned.addresses,
        };
        let context = (self.compiler.context(), seen.now);
        let facts = (&observed, &mut self.settled);
        let patches = status::patches(seen.resources, &compiled.verdicts, facts, context);
        (changes, patches.into_iter().map(patch).collect())
    }
}

fn services(resources: &Resources, planned: &gateway_service::ServicePlan) -> Vec<Change> {
    let mut changes = Vec::new();
    for wanted in &planned.apply {
        let metadata = &wanted.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { continue };
        let name = Name::new(namespace, name);
        let ours = resources.services.get(&name).is_some_and(|held| {
            let label = held.metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
            label.is_some_and(|label| label == MANAGER)
        });
        let object = object(Kind::Service, &name, wanted);
        changes.extend(object.map(if ours { Change::Apply } else { Change::Create }));
    }
    let held = |name: &Name| resources.services.get(name).map(|held| (name.clone(), &**held));
    for (name, held) in planned.delete.iter().filter_map(held) {
        changes.push(Change::Delete(Doomed {
            reference: ObjectRef::new(Kind::Service, name),
            uid: held.metadata.uid.clone(),
            resource_version: held.metadata.resource_version.clone(),
        }));
    }
    for (name, held) in planned.release.iter().filter_map(held) {
        changes.extend(object(Kind::Service, &name, &unheld(held)).map(Change::Replace));
    }
    changes
}

/// The Service without our finalizer.
fn unheld(service: &Service) -> Service {
    let mut service = service.clone();
    if let Some(finalizers) = &mut service.metadata.finalizers {
        finalizers.retain(|one| one != FINALIZER);
    }
    service
}

fn object(kind: Kind, name: &Name, content: &impl Serialize) -> Option<Object> {
    let value = serde_json::to_value(content).ok()?;
    Some(Object { reference: ObjectRef::new(kind, name.clone()), value })
}

fn patch(patch: status::StatusPatch) -> StatusPatch {
    let version = patch.body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    let resource_version = version.map(Into::into);
    let status = patch.body.get("status").cloned().unwrap_or_default();
    StatusPatch { object: patch.object, status, resource_version }
}

#[cfg(test)]
mod tests;
