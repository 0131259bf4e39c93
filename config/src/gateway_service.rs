//! Plans what a Gateway needs around it: its LoadBalancer Service, and leave to read its Secrets.

mod role_binding;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;

use crate::marks::{GATEWAY_NAME, GATEWAY_NAMESPACE, GATEWAY_UID, Labels, MANAGED_BY, MANAGER};
use crate::model::Name;
use crate::resources::Resources;
use crate::status::Address;
use crate::verdict::{GatewayVerdict, Verdicts};

pub use self::role_binding::{
    RoleBindingPlan, RoleBindingSettings, SECRET_READER, plan_role_bindings,
};

#[cfg(test)]
mod tests;

/// Keeps the Service of a Gateway until we have seen that it goes.
pub const FINALIZER: &str = "spanway.dev/load-balancer";

/// How LoadBalancer Services are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Our own namespace, where the gateway pods run.
    pub namespace: String,
    /// The labels of the gateway pods.
    pub selector: Labels,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: String,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServicePlan {
    /// Services to apply (server-side apply), missing or not as they should be.
    pub apply: Vec<Service>,
    /// Services to delete: their Gateway is gone, or not ours any more.
    pub delete: Vec<Name>,
    /// Services that are being deleted, to take [`FINALIZER`] from.
    pub release: Vec<Name>,
    /// The addresses of each Gateway, as its Service has them.
    pub addresses: BTreeMap<Name, Vec<Address>>,
}

/// Plans the Services of all Gateways of ours.
pub fn plan(resources: &Resources, verdicts: &Verdicts, settings: &ServiceSettings) -> ServicePlan {
    let mut plan = ServicePlan::default();
    let mut kept = BTreeSet::new();
    for (gateway, verdict) in &verdicts.gateways {
        let Some(wanted) = service(resources, gateway, verdict, settings) else {
            continue;
        };
        let name = Name::new(&settings.namespace, &service_name(&verdict.uid));
        kept.insert(name.clone());
        let held = resources.services.get(&name).filter(|held| is_ours(held));
        if let Some(held) = held {
            plan.addresses.insert(gateway.clone(), addresses(held));
        }
        if held.is_none_or(|held| !holds(held, &wanted)) {
            plan.apply.push(wanted);
        }
    }
    let here = resources.services.valid.iter();
    for (name, held) in here.filter(|(name, _)| *name.namespace == *settings.namespace) {
        if !is_ours(held) {
            continue;
        }
        if held.metadata.deletion_timestamp.is_some() {
            let finalizers = held.metadata.finalizers.as_ref();
            if finalizers.is_some_and(|all| all.iter().any(|one| one == FINALIZER)) {
                plan.release.push(name.clone());
            }
        } else if !kept.contains(name) {
            plan.delete.push(name.clone());
        }
    }
    plan
}

/// The name of a Gateway's Service. It is made from the UID, which no author of a Gateway can
/// choose, and is short enough whatever the Gateway is called.
pub fn service_name(uid: &str) -> String {
    // FNV-1a: stable over versions and machines, which the hashers of the library are not.
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("spanway-{hash:016x}")
}

/// Whether a Service is the LoadBalancer of a Gateway and was made by us.
fn is_ours(service: &Service) -> bool {
    let label = |key: &str| service.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    label(MANAGED_BY).map(String::as_str) == Some(MANAGER) && label(GATEWAY_UID).is_some()
}

fn service(
    resources: &Resources,
    gateway: &Name,
    verdict: &GatewayVerdict,
    settings: &ServiceSettings,
) -> Option<Service> {
    let ports = ports(verdict);
    if ports.is_empty() {
        return None;
    }
    let infrastructure = resources.gateways.get(gateway)?.spec.infrastructure.as_ref();
    let mut labels: Labels = infrastructure.and_then(|one| one.labels.clone()).unwrap_or_default();
    labels.extend([
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
        (GATEWAY_UID.to_owned(), verdict.uid.to_string()),
        (GATEWAY_NAME.to_owned(), label_value(&gateway.name)),
        (GATEWAY_NAMESPACE.to_owned(), gateway.namespace.to_string()),
    ]);
    Some(Service {
        metadata: ObjectMeta {
            name: Some(service_name(&verdict.uid)),
            namespace: Some(settings.namespace.clone()),
            labels: Some(labels),
            annotations: infrastructure.and_then(|one| one.annotations.clone()),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some("LoadBalancer".to_owned()),
            selector: Some(settings.selector.clone()),
            ports: Some(ports),
            ip_family_policy: Some("PreferDualStack".to_owned()),
            external_traffic_policy: Some(settings.external_traffic_policy.clone()),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

/// Listener port → container port, each once.
fn ports(verdict: &GatewayVerdict) -> Vec<ServicePort> {
    let pairs = verdict
        .listeners
        .iter()
        .filter_map(|listener| Some((listener.owner.as_ref()?.port, listener.container_port?)));
    let pairs: BTreeMap<u16, u16> = pairs.collect();
    let ports = pairs.into_iter().map(|(port, container_port)| ServicePort {
        name: Some(format!("port-{port}")),
        protocol: Some("TCP".to_owned()),
        port: i32::from(port),
        target_port: Some(IntOrString::Int(i32::from(container_port))),
        ..ServicePort::default()
    });
    ports.collect()
}

/// A name as the value of a label, which is shorter than a name may be.
fn label_value(name: &str) -> String {
    const LABEL_VALUE_LENGTH_MAX: usize = 63;
    if name.len() <= LABEL_VALUE_LENGTH_MAX { name.to_owned() } else { service_name(name) }
}

/// Whether `held` has all that `wanted` says; the API server adds to it.
fn holds(held: &Service, wanted: &Service) -> bool {
    let has = |held: Option<&Labels>, wanted: Option<&Labels>| {
        let mut wanted = wanted.into_iter().flatten();
        wanted.all(|(key, value)| held.and_then(|held| held.get(key)) == Some(value))
    };
    let (Some(spec), Some(wanted_spec)) = (&held.spec, &wanted.spec) else {
        return false;
    };
    let ports = |spec: &ServiceSpec| {
        let ports = spec.ports.iter().flatten();
        ports.map(|one| (one.name.clone(), one.port, one.target_port.clone())).collect::<Vec<_>>()
    };
    let finalizers = held.metadata.finalizers.as_ref();
    has(held.metadata.labels.as_ref(), wanted.metadata.labels.as_ref())
        && has(held.metadata.annotations.as_ref(), wanted.metadata.annotations.as_ref())
        && finalizers.is_some_and(|all| all.iter().any(|one| one == FINALIZER))
        && spec.type_ == wanted_spec.type_
        && spec.selector == wanted_spec.selector
        && spec.external_traffic_policy == wanted_spec.external_traffic_policy
        && spec.ip_family_policy == wanted_spec.ip_family_policy
        && ports(spec) == ports(wanted_spec)
}

fn addresses(service: &Service) -> Vec<Address> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_ref()).into_iter().flatten();
    let addresses = ingress.filter_map(|one| {
        let ip = one.ip.clone().map(Address::IPAddress);
        ip.or_else(|| one.hostname.clone().map(Address::Hostname))
    });
    addresses.collect()
}
