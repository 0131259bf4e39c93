//! The objects that we write, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use config::api::mcs::{ANNOTATION_DERIVED_SERVICE, LABEL_SERVICE_NAME, LABEL_SOURCE_CLUSTER};
use config::marks::{DERIVED_FOR, MANAGED_BY, MANAGER, MIRRORED_FOR, MIRRORED_FROM};
use config::model::{Kind, Name, ObjectRef};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::catalog::CatalogPort;
use crate::merge::{Import, ImportedPort, transport_label};
use crate::slices::{Family, Seat};

use super::{Change, Object, Role, Wanted, marks, standing};

/// Bytes of a digest that are kept, in hexadecimal twice as long: no two of a cluster's services
/// meet by chance, and nobody gains by making two meet.
const DIGEST_LENGTH: usize = 10;
/// The label of a slice with its Service.
const SLICE_SERVICE: &str = "kubernetes.io/service-name";
/// The longest value of a label.
const LABEL_LENGTH_MAX: usize = 63;

/// A short digest of some texts: the same in every process and version.
pub(super) fn short_digest(parts: &[&str]) -> String {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part.as_bytes());
    }
    let hash = digest(&SHA256, &joined);
    let digits = hash.as_ref().iter().take(DIGEST_LENGTH).flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The reserved name of the Service that holds an import's IP.
pub fn derived_name(service: &Name) -> Name {
    let hash = short_digest(&[&service.namespace, &service.name]);
    Name { namespace: Arc::clone(&service.namespace), name: format!("spanway-{hash}").into() }
}

/// The name of a port in our objects. One of several must have a name.
pub(super) fn port_name(port: &CatalogPort, of: usize) -> Option<String> {
    match (port.name.is_empty(), of) {
        (false, _) => Some(port.name.as_ref().into()),
        (true, 0 | 1) => None,
        (true, _) => {
            let transport = transport_label(port.transport).to_ascii_lowercase();
            Some(format!("{transport}-{}", port.number))
        }
    }
}

/// Leaves out what is not said.
fn without_nulls(fields: Value) -> Value {
    match fields {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn ports(ports: &[ImportedPort]) -> Vec<Value> {
    let name = |port| port_name(port, ports.len());
    ports
        .iter()
        .map(|ImportedPort { port, .. }| {
            json!({
                "name": name(port),
                "port": port.number,
                "protocol": transport_label(port.transport),
                "appProtocol": port.app_protocol,
            })
        })
        .collect()
}

/// Puts an object together and marks it with the digest of its content.
fn object(kind: Kind, name: &Name, mut labels: Map<String, Value>, mut body: Value) -> Object {
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let (group, version) = kind.group_version();
    let api = if group.is_empty() { version.into() } else { format!("{group}/{version}") };
    let annotations = body.as_object_mut().and_then(|body| body.remove("annotations"));
    let metadata = json!({
        "name": name.name,
        "namespace": name.namespace,
        "labels": labels,
        "annotations": annotations.unwrap_or_else(|| json!({})),
    });
    let mut value = without_nulls(body);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("apiVersion".into(), api.into());
        fields.insert("kind".into(), kind.label().into());
        fields.insert("metadata".into(), metadata);
    }
    let applied = short_digest(&[&value.to_string()]);
    let annotations = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    if let Some(annotations) = annotations {
        annotations.insert(marks::APPLIED.into(), applied.into());
    }
    Object { reference: ObjectRef::new(kind, name.clone()), value }
}

/// The IPs of an import: those of its derived Service, once it has some.
pub(super) fn import_ips<'s>(import: &Import, derived: Option<&'s Service>) -> Vec<&'s str> {
    if import.headless { Vec::new() } else { addresses(derived) }
}

/// A `ServiceImport`.
pub(super) fn service_import(name: &Name, import: &Import, ips: &[&str]) -> Object {
    let families: Vec<&str> =
        ips.iter().map(|ip| if ip.contains(':') { "IPv6" } else { "IPv4" }).collect();
    let affinity = import.session_affinity_seconds;
    let timeout = affinity.map(|seconds| json!({"clientIP": {"timeoutSeconds": seconds}}));
    let labels = texts(marks::labels(&import.labels));
    let mut annotations = texts(marks::annotations(&import.annotations));
    annotations.insert(marks::EXPORTERS.into(), standing::record(import).into());
    if !import.headless {
        annotations.insert(ANNOTATION_DERIVED_SERVICE.into(), json!(derived_name(name).name));
    }
    let body = json!({
        "annotations": annotations,
        "spec": {
            "type": if import.headless { "Headless" } else { "ClusterSetIP" },
            "ports": ports(&import.ports),
            "ips": (!ips.is_empty()).then_some(ips),
            "ipFamilies": (!families.is_empty()).then_some(&families),
            "sessionAffinity": affinity.map_or("None", |_| "ClientIP"),
            "sessionAffinityConfig": timeout,
            "internalTrafficPolicy": import.internal_traffic_policy,
            "trafficDistribution": import.traffic_distribution,
        },
    });
    object(Kind::ServiceImport, name, labels, body)
}

/// The cluster IPs of a Service.
pub(super) fn addresses(service: Option<&Service>) -> Vec<&str> {
    let Some(spec) = service.and_then(|service| service.spec.as_ref()) else { return Vec::new() };
    let all = spec.cluster_ips.iter().flatten().map(String::as_str);
    let one = spec.cluster_ip.as_deref().filter(|_| spec.cluster_ips.is_none());
    all.chain(one).filter(|ip| !ip.is_empty() && *ip != "None").collect()
}

/// A derived or mirrored Service: no selector, its slices are ours.
pub(super) fn service(name: &Name, wanted: &Wanted<'_>) -> Object {
    let mut labels = Map::new();
    match wanted.role {
        Role::Derived => {
            labels.insert(DERIVED_FOR.into(), json!(wanted.service.name));
        }
        Role::Mirrored => {
            labels.extend(texts(marks::labels(&wanted.import.labels)));
            labels.insert(MIRRORED_FOR.into(), json!(wanted.service.name));
            labels.insert(MIRRORED_FROM.into(), json!(wanted.from.map_or("", |link| &**link)));
        }
    }
    let ports: Vec<Value> = ports(&wanted.import.ports)
        .into_iter()
        .map(|mut port| {
            if let Some(fields) = port.as_object_mut() {
                let number = fields.get("port").cloned();
                fields.insert("targetPort".into(), number.into());
            }
            port
        })
        .collect();
    let spec = without_nulls(json!({
        "type": "ClusterIP", "ipFamilyPolicy": "PreferDualStack", "ports": ports,
    }));
    let mut annotations = Map::new();
    annotations.insert(marks::FINGERPRINT.into(), fingerprint_of(&spec).into());
    object(Kind::Service, name, labels, json!({"annotations": annotations, "spec": spec}))
}

fn fingerprint_of(spec: &Value) -> String {
    let written = serde_json::from_value(spec.clone()).unwrap_or_default();
    fingerprint(&Service { spec: Some(written), ..Service::default() })
}

/// The digest of what makes a Service its author's: selector, type and ports, as the API server
/// completes them.
pub(super) fn fingerprint(service: &Service) -> String {
    let spec = service.spec.clone().unwrap_or_default();
    let selector: Vec<String> =
        spec.selector.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let mut ports: Vec<String> = spec.ports.iter().flatten().map(port_fingerprint).collect();
    ports.sort();
    let kind = spec.type_.unwrap_or_else(|| "ClusterIP".into());
    let external = spec.external_name.unwrap_or_default();
    let (selector, ports) = (selector.join("\n"), ports.join("\n"));
    short_digest(&[&selector, &kind, &external, &ports])
}

fn port_fingerprint(port: &ServicePort) -> String {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    let target = match &port.target_port {
        None => port.port.to_string(),
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let (name, app) = (text(&port.name), text(&port.app_protocol));
    format!("{}/{protocol} {name} {app} {target}", port.port)
}

/// One slice of a Service: gateways that have the same ports bound, for one exporting cluster.
#[derive(Hash)]
pub(super) struct SliceOf<'a> {
    /// Whose.
    pub(super) service: &'a Name,
    /// What it stands for.
    pub(super) wanted: &'a Wanted<'a>,
    /// The cluster that the ports lead to.
    pub(super) cluster: &'a str,
    /// The family of its addresses.
    pub(super) family: Family,
    /// Its ports: the import's, and the container port of each.
    pub(super) ports: &'a [(&'a CatalogPort, u16)],
}

/// The name of a slice.
pub(super) fn slice_name(of: &SliceOf<'_>) -> Name {
    let numbers: Vec<String> =
        of.ports.iter().map(|(port, at)| format!("{}:{at}", port.number)).collect();
    let hash = short_digest(&[&of.service.name, of.cluster, of.family.label(), &numbers.join(",")]);
    Name {
        namespace: Arc::clone(&of.service.namespace),
        name: format!("{}-{hash}", of.service.name).into(),
    }
}

/// An `EndpointSlice` that names gateways.
pub(super) fn slice(name: &Name, of: &SliceOf<'_>, seats: &[&Seat]) -> Object {
    let count = of.wanted.import.ports.len();
    let ports: Vec<Value> = of
        .ports
        .iter()
        .map(|(port, at)| {
            let named = port_name(port, count).unwrap_or_default();
            json!({"name": named, "port": at, "protocol": "TCP", "appProtocol": port.app_protocol})
        })
        .collect();
    let endpoints: Vec<Value> = seats.iter().map(|seat| endpoint(seat)).collect();
    let mut labels = Map::new();
    labels.insert(SLICE_SERVICE.into(), json!(of.service.name));
    labels.insert(marks::SLICE_MANAGED_BY.into(), marks::SLICE_MANAGER.into());
    labels.insert(LABEL_SERVICE_NAME.into(), label_value(&of.wanted.service.name));
    labels.insert(LABEL_SOURCE_CLUSTER.into(), label_value(of.cluster));
    let body = json!({"addressType": of.family.label(), "ports": ports, "endpoints": endpoints});
    object(Kind::EndpointSlice, name, labels, body)
}

fn endpoint(seat: &Seat) -> Value {
    json!({
        "addresses": [seat.address.to_string()],
        "conditions": {"ready": true, "serving": true, "terminating": false},
        "nodeName": seat.node,
        "targetRef": {
            "kind": "Pod",
            "namespace": seat.pod.namespace,
            "name": seat.pod.name,
            "uid": seat.instance,
        },
    })
}

/// A label's value is cut where a name is longer than a label may be.
fn label_value(text: &str) -> Value {
    text.get(..LABEL_LENGTH_MAX).unwrap_or(text).into()
}

fn texts(map: BTreeMap<String, String>) -> Map<String, Value> {
    map.into_iter().map(|(key, value)| (key, value.into())).collect()
}

/// The change that makes an object of ours what it should be. It names the version that was seen,
/// so that it fails where somebody was quicker.
pub(super) fn change(
    observed: &impl Serialize,
    seen: &ObjectMeta,
    mut object: Object,
) -> Option<Change> {
    let current = serde_json::to_value(observed).unwrap_or_default();
    if covers(&current, &object.value) {
        return None;
    }
    let metadata = object.value.get_mut("metadata").and_then(Value::as_object_mut)?;
    if let Some(version) = seen.resource_version.as_deref() {
        metadata.insert("resourceVersion".into(), version.into());
    }
    Some(Change::Apply(object))
}

/// Whether all that is wanted stands in what is observed; more may stand there.
pub(super) fn covers(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| observed.get(key).is_some_and(|known| covers(known, value))),
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len()
                && observed.iter().zip(wanted).all(|(known, value)| covers(known, value))
        }
        _ => observed == wanted,
    }
}
