//! `ClusterLink`: our relation to one remote cluster.

mod selector;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use self::selector::{Expression, Operator, Selector};

/// The port of a remote cluster's link listener where an address names none.
pub const DEFAULT_PORT: u16 = 15443;
/// The key of a bundle's `ConfigMap` where a reference names none.
pub const DEFAULT_BUNDLE_KEY: &str = "bundle.pem";
/// Who is a peer where a link names nobody: the chart's gateways, and its controllers, which
/// subscribe to catalogs as gateways do.
const DEFAULT_PEER_PATHS: [&str; 2] =
    ["ns/spanway-system/sa/spanway-gateway", "ns/spanway-system/sa/spanway-controller"];
/// Services taken from one cluster unless its link says otherwise: far above what is usual, and
/// small enough that a broken peer cannot exhaust memory or the API server.
pub const DEFAULT_MAX_SERVICES: u32 = 5_000;
/// Endpoints taken from one cluster unless its link says otherwise, for the same reason.
pub const DEFAULT_MAX_ENDPOINTS: u32 = 100_000;
/// How long the endpoints of a silent cluster are kept unless its link says otherwise, in seconds:
/// an API server or a path between two sites may well be away for an hour.
pub const DEFAULT_KEEP_FOR_SECONDS: u32 = 3_600;

/// Our relation to one remote cluster.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "spanway.dev",
    version = "v1alpha1",
    kind = "ClusterLink",
    plural = "clusterlinks",
    shortname = "clink",
    status = "ClusterLinkStatus",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.cluster"}"#,
    printcolumn = r#"{"name":"Trust domain","type":"string","jsonPath":".spec.trustDomain"}"#,
    printcolumn = r#"{"name":"Reachable","type":"string","jsonPath":".status.conditions[?(@.type=='Reachable')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterLinkSpec {
    /// The name of the remote cluster; the name of this object where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster: Option<String>,
    /// Where its gateways are reached: host names or IP addresses, each with or without a port.
    #[schemars(length(min = 1, max = 16))]
    pub addresses: Vec<String>,
    /// Its SPIFFE trust domain, without `spiffe://`.
    #[schemars(length(min = 1, max = 255))]
    pub trust_domain: String,
    /// The certificates that its identities end in, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// A `ConfigMap` in Spanway's own namespace that holds the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_ref: Option<BundleRef>,
    /// The SPIFFE IDs of its gateways; nobody else is a peer. Where nothing is said: the chart's,
    /// `spiffe://<trust domain>/ns/spanway-system/sa/spanway-gateway`, and `spanway-controller`,
    /// which subscribes to the catalog as gateways do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub gateways: Vec<String>,
    /// What is taken from it.
    #[serde(default)]
    pub import: Import,
    /// What it may see of us.
    #[serde(default)]
    pub export: Export,
    /// What happens to its endpoints while nothing is heard of it.
    #[serde(default)]
    pub staleness: Staleness,
    /// How much is taken from it at most.
    #[serde(default)]
    pub quotas: Quotas,
}

/// A key of a `ConfigMap` in Spanway's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundleRef {
    /// The name of the `ConfigMap`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its key, `bundle.pem` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl BundleRef {
    /// The key that is meant.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(DEFAULT_BUNDLE_KEY)
    }
}

/// What is taken from a remote cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// In which namespaces; in all that exist here where nothing is said.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Where, and under which name, a mirrored Service is made beside the import.
    /// The first rule that fits a service decides; without one there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rules: Vec<MirrorRule>,
}

/// Some namespaces: those named, and those whose labels fit; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub names: Vec<String>,
    /// By label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// For which services a mirrored Service is made, and how it is called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorRule {
    /// In which namespaces; in all that are imported where nothing is said.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// The exported labels that a service must have; every service where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The mirrored Service's name. `{service}` and `{cluster}` stand for the names of the service
    /// and of the remote cluster. A name with `{cluster}` stands for that cluster alone.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
}

/// What a remote cluster may see of us: of what is exported, that which fits both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// In which namespaces; in all where nothing is said.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// The labels that a `ServiceExport` must have; every one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// What happens to the endpoints of a cluster of which nothing is heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Staleness {
    /// For how many seconds they are kept as they were.
    pub keep_for_seconds: u32,
    /// What then.
    pub then: WhenStale,
}

impl Default for Staleness {
    fn default() -> Self {
        Self { keep_for_seconds: DEFAULT_KEEP_FOR_SECONDS, then: WhenStale::default() }
    }
}

/// What happens to endpoints that were kept for long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WhenStale {
    /// They are kept: a call finds out.
    Keep,
    /// They are used only where no other cluster has one.
    #[default]
    Degrade,
    /// They go.
    Withdraw,
}

/// How much is taken from a remote cluster at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Quotas {
    /// How many services.
    pub services: u32,
    /// How many endpoints.
    pub endpoints: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { services: DEFAULT_MAX_SERVICES, endpoints: DEFAULT_MAX_ENDPOINTS }
    }
}

/// What became of a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterLinkStatus {
    /// Accepted, Reachable, Trusted, Synced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The services that are taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_services: Option<u32>,
    /// Their endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported_endpoints: Option<u32>,
    /// The services that it may see of us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported_services: Option<u32>,
}

impl ClusterLink {
    /// The name of the remote cluster.
    pub fn cluster(&self) -> &str {
        self.spec.cluster.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }

    /// The SPIFFE IDs of the remote gateways: those named, or the chart's.
    pub fn gateways(&self) -> Vec<String> {
        if self.spec.gateways.is_empty() {
            let of = |path| format!("spiffe://{}/{path}", self.spec.trust_domain);
            DEFAULT_PEER_PATHS.map(of).to_vec()
        } else {
            self.spec.gateways.clone()
        }
    }
}

impl Namespaces {
    /// Whether the namespace of this name and these labels is one of them.
    pub fn contains<'l>(&self, name: &str, label: impl Fn(&str) -> Option<&'l str> + Copy) -> bool {
        match &self.selector {
            None if self.names.is_empty() => true,
            None => self.names.iter().any(|known| known == name),
            Some(selector) => {
                self.names.iter().any(|known| known == name) || selector.matches(label)
            }
        }
    }
}

/// The schema of a list of conditions, as Kubernetes has it.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "message": {"type": "string", "maxLength": 32768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {"type": "string", "maxLength": 316}
            }
        }
    })
}

#[cfg(test)]
mod tests;
