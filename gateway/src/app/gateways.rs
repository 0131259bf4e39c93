//! The leader's work for Gateways: their Services, leave to read their Secrets, all conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use config::compile::{Context, compile};
use config::gateway_service::{
    self, RoleBindingSettings, ServiceSettings, plan_role_bindings,
};
use config::model::{Kind, Name, ObjectRef};
use config::status::{self, Observed};
use config::table::PortOwner;
use discovery::controller::round::{Gateways, Ports, Seen, World};
use discovery::plan::{Change, Doomed, Object};
use discovery::status::StatusPatch;
use kube::api::TypeMeta;
use serde::Serialize;
use serde_json::{Value, json};

/// The leader's work for Gateways.
pub(super) struct GatewayWork {
    pub(super) context: Context,
    pub(super) services: ServiceSettings,
    pub(super) role_bindings: RoleBindingSettings,
    /// The role bindings of ours that stand, as they were last listed.
    pub(super) held: Arc<Mutex<BTreeSet<Name>>>,
}

impl Gateways for GatewayWork {
    fn owners(&self, seen: &Seen<'_>) -> BTreeMap<PortOwner, Name> {
        compile(seen.resources, &self.context).wanted_ports.into_iter().collect()
    }

    fn round(&self, seen: &Seen<'_>, ports: &Ports) -> (Vec<Change>, Vec<StatusPatch>) {
        let compiled = compile(seen.resources, &self.context);
        let services = gateway_service::plan(seen.resources, &compiled.verdicts, &self.services);
        let mut changes = Vec::new();
        // A directory has no load balancers and no roles.
        if seen.settings.world == World::Kubernetes {
            changes.extend(services.apply.iter().filter_map(|it| apply(Kind::Service, it)));
            changes.extend(services.delete.iter().map(|name| delete(Kind::Service, name)));
            changes.extend(services.release.iter().filter_map(|name| release(seen, name)));
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let bindings = plan_role_bindings(&compiled.wanted, &held, &self.role_bindings);
            changes.extend(bindings.apply.iter().filter_map(|it| apply(Kind::RoleBinding, it)));
            changes.extend(bindings.delete.iter().map(|name| delete(Kind::RoleBinding, name)));
        }
        let observed = observed(seen, ports, services.addresses);
        let patches =
            status::patches(seen.resources, &compiled.verdicts, &observed, (&self.context, seen.now));
        (changes, patches.into_iter().map(patch).collect())
    }
}

fn observed(
    seen: &Seen<'_>,
    ports: &Ports,
    addresses: BTreeMap<Name, Vec<status::Address>>,
) -> Observed {
    let serving = || seen.reports.values().filter(|report| !report.draining);
    let bound = serving().flat_map(|report| report.bound.iter().map(|(port, _)| *port)).collect();
    let failures = serving().flat_map(|report| &report.bind_failures);
    Observed {
        addresses,
        bound,
        bind_failures: failures.map(|(port, _, why)| (*port, why.clone())).collect(),
        exhausted: ports.exhausted.iter().cloned().collect(),
    }
}

fn patch(patch: status::StatusPatch) -> StatusPatch {
    let version = patch.body.pointer("/metadata/resourceVersion");
    StatusPatch {
        resource_version: version.and_then(Value::as_str).map(str::to_owned),
        status: patch.body.get("status").cloned().unwrap_or_default(),
        object: patch.object,
    }
}

fn apply<T: Serialize + kube::Resource<DynamicType = ()>>(kind: Kind, object: &T) -> Option<Change> {
    let mut value = serde_json::to_value(object).ok()?;
    let TypeMeta { api_version, kind: name } =
        TypeMeta { api_version: T::api_version(&()).into(), kind: T::kind(&()).into() };
    value.as_object_mut()?.extend([
        ("apiVersion".to_owned(), json!(api_version)),
        ("kind".to_owned(), json!(name)),
    ]);
    let meta = object.meta();
    let name = Name::new(meta.namespace.as_deref()?, meta.name.as_deref()?);
    Some(Change::Apply(Object { reference: ObjectRef::new(kind, name), value }))
}

fn delete(kind: Kind, name: &Name) -> Change {
    let reference = ObjectRef::new(kind, name.clone());
    Change::Delete(Doomed { reference, uid: None, resource_version: None })
}

/// The Service of a Gateway that is going, without our finalizer.
fn release(seen: &Seen<'_>, name: &Name) -> Option<Change> {
    let service = seen.resources.services.get(name)?;
    let mut service = k8s_openapi::api::core::v1::Service::clone(service);
    let finalizers = service.metadata.finalizers.as_mut()?;
    finalizers.retain(|finalizer| finalizer != gateway_service::FINALIZER);
    match apply(Kind::Service, &service)? {
        Change::Apply(object) => Some(Change::Replace(object)),
        other => Some(other),
    }
}
