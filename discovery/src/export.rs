//! Decides whether a `ServiceExport` with its Service may be seen by other clusters (KEP-1645).

use std::fmt;
use std::sync::Arc;

use config::api::ServiceExport;
use config::marks::{MANAGED_BY, MANAGER};
use config::model::{AppProtocol, Kind, Name, ObjectRef};
use imbl::OrdMap;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::catalog::{CatalogPort, CatalogService, Transport};

/// A validated export, before any link's rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// The Service.
    pub name: Name,
    /// What other clusters learn of it, but for its endpoints.
    pub service: Arc<CatalogService>,
    /// Salts the ids of its endpoints: the Service's UID, which no other cluster knows.
    pub uid: Arc<str>,
    /// The labels of the `ServiceExport`: a link's export rule selects by them.
    pub labels: OrdMap<Arc<str>, Arc<str>>,
}

/// An export that no other cluster sees, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRejection {
    /// The `ServiceExport`.
    pub object: ObjectRef,
    /// Its generation, for `observedGeneration`.
    pub generation: Option<i64>,
    /// Why.
    pub reason: ExportReason,
    /// A sentence for the condition.
    pub message: String,
}

/// The reasons of the conditions `Valid`, `Ready` and `Conflict` of a `ServiceExport` (KEP-1645).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the MCS API's reason of that name")]
pub enum ExportReason {
    // Valid
    Valid,
    NoService,
    InvalidServiceType,
    // Ready
    Exported,
    Ready,
    Pending,
    Failed,
    // Conflict
    PortConflict,
    TypeConflict,
    SessionAffinityConflict,
    SessionAffinityConfigConflict,
    LabelsConflict,
    AnnotationsConflict,
    InternalTrafficPolicyConflict,
    TrafficDistributionConflict,
    IPFamilyConflict,
    NoConflicts,
}

impl ExportReason {
    /// The reason as it stands in a condition.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Valid => "Valid",
            Self::NoService => "NoService",
            Self::InvalidServiceType => "InvalidServiceType",
            Self::Exported => "Exported",
            Self::Ready => "Ready",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
            Self::PortConflict => "PortConflict",
            Self::TypeConflict => "TypeConflict",
            Self::SessionAffinityConflict => "SessionAffinityConflict",
            Self::SessionAffinityConfigConflict => "SessionAffinityConfigConflict",
            Self::LabelsConflict => "LabelsConflict",
            Self::AnnotationsConflict => "AnnotationsConflict",
            Self::InternalTrafficPolicyConflict => "InternalTrafficPolicyConflict",
            Self::TrafficDistributionConflict => "TrafficDistributionConflict",
            Self::IPFamilyConflict => "IPFamilyConflict",
            Self::NoConflicts => "NoConflicts",
        }
    }
}

impl fmt::Display for ExportReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Whether we wrote the object: such a one is never exported and never an endpoint.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    label.is_some_and(|value| value == MANAGER)
}

/// What `export` offers of `service`, which has its name.
pub fn export(
    export: &ServiceExport,
    service: Option<&Service>,
) -> Result<Export, ExportRejection> {
    let name = name(&export.metadata);
    let reject = |reason, message| ExportRejection {
        object: ObjectRef::new(Kind::ServiceExport, name.clone()),
        generation: export.metadata.generation,
        reason,
        message,
    };
    let missing = || reject(ExportReason::NoService, format!("there is no Service {name}"));
    let service = service.ok_or_else(missing)?;
    if is_ours(&service.metadata) || is_ours(&export.metadata) {
        let message = format!("Service {name} stands for another cluster's and is not exported on");
        return Err(reject(ExportReason::InvalidServiceType, message));
    }
    let spec = service.spec.as_ref().ok_or_else(missing)?;
    if spec.type_.as_deref() == Some("ExternalName") {
        let message = format!("Service {name} is of type ExternalName");
        return Err(reject(ExportReason::InvalidServiceType, message));
    }
    Ok(Export {
        service: Arc::new(describe(export, spec)),
        uid: service.metadata.uid.as_deref().unwrap_or_default().into(),
        labels: strings(export.metadata.labels.iter().flatten()),
        name,
    })
}

fn describe(export: &ServiceExport, spec: &ServiceSpec) -> CatalogService {
    let by_client = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = || spec.session_affinity_config.as_ref()?.client_ip.as_ref()?.timeout_seconds;
    let created = export.metadata.creation_timestamp.as_ref();
    CatalogService {
        exported_at: created.map_or(i64::MAX, |time| time.0.as_second()),
        headless: spec.cluster_ip.as_deref() == Some("None"),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        endpoints: OrdMap::new(),
        session_affinity_seconds: by_client.then(|| timeout().unwrap_or(AFFINITY_SECONDS)),
        internal_traffic_policy: spec.internal_traffic_policy.as_deref().map(Into::into),
        traffic_distribution: spec.traffic_distribution.as_deref().map(Into::into),
        labels: strings(&export.spec.exported_labels),
        annotations: strings(&export.spec.exported_annotations),
        ip_families: spec.ip_families.iter().flatten().map(|f| f.as_str().into()).collect(),
    }
}

/// How long `ClientIP` affinity lasts where a Service does not say: Kubernetes' default.
const AFFINITY_SECONDS: i32 = 10_800;

/// A port of a Service; `None` for one that no API server would have let in.
pub fn port(port: &ServicePort) -> Option<CatalogPort> {
    Some(CatalogPort {
        name: port.name.as_deref().unwrap_or_default().into(),
        number: u16::try_from(port.port).ok().filter(|number| *number > 0)?,
        transport: Transport::parse(port.protocol.as_deref())?,
        protocol: AppProtocol::parse(port.app_protocol.as_deref()),
        app_protocol: port.app_protocol.as_deref().map(Into::into),
    })
}

fn name(metadata: &ObjectMeta) -> Name {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
    Name { namespace: text(&metadata.namespace), name: text(&metadata.name) }
}

fn strings<'a>(
    pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> OrdMap<Arc<str>, Arc<str>> {
    pairs.into_iter().map(|(key, value)| (Arc::from(&**key), Arc::from(&**value))).collect()
}

#[cfg(test)]
mod tests;
