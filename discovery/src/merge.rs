//! Merges what all clusters export into imports, as KEP-1645 rules it.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::Name;
use imbl::OrdMap;

use crate::catalog::{CatalogPort, CatalogService, Transport};
use crate::export::ExportReason;

/// One cluster of the set and what it exports to us; our own cluster is one of them.
#[derive(Clone, Debug)]
pub struct Member {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Its exports, by namespace and name.
    pub services: OrdMap<Name, Arc<CatalogService>>,
}

/// The merged imports, by namespace and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imports {
    /// Name → import.
    pub services: BTreeMap<Name, Import>,
}

/// A service that at least one cluster exports.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Import {
    /// `Headless` or `ClusterSetIP`.
    pub headless: bool,
    /// The union of the exporters' ports; the oldest export names them.
    pub ports: Vec<ImportedPort>,
    /// `sessionAffinity: ClientIP` with its timeout in seconds.
    pub session_affinity_seconds: Option<i32>,
    /// `internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Arc<str>>,
    /// `trafficDistribution`.
    pub traffic_distribution: Option<Arc<str>>,
    /// The exported labels.
    pub labels: OrdMap<Arc<str>, Arc<str>>,
    /// The exported annotations.
    pub annotations: OrdMap<Arc<str>, Arc<str>>,
    /// The exporting clusters and when each exported, the oldest first.
    pub exporters: Vec<Exporter>,
    /// Where exporters contradict each other: a condition on every export.
    pub conflicts: Vec<Conflict>,
}

/// A cluster that exports a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Exporter {
    /// `creationTimestamp` of the `ServiceExport`, seconds since 1970.
    pub exported_at: i64,
    /// The cluster's name.
    pub cluster: Arc<str>,
}

/// A port of an import.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImportedPort {
    /// The port as the oldest of its exporters has it.
    pub port: CatalogPort,
    /// The clusters that expose it: nobody else gets its traffic.
    pub clusters: Vec<Arc<str>>,
}

/// A contradiction between exports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conflict {
    /// What is contradicted: one of the reasons of `Conflict`.
    pub reason: ExportReason,
    /// Which cluster contradicts the oldest export, and how: a sentence.
    pub message: String,
}

impl Import {
    /// The ports that are not carried: UDP and SCTP.
    pub fn uncarried(&self) -> impl Iterator<Item = &CatalogPort> {
        self.ports.iter().map(|imported| &imported.port).filter(|port| !carried(port.transport))
    }

    /// Whether this cluster exports it.
    pub fn exported_by(&self, cluster: &str) -> bool {
        self.exporters.iter().any(|exporter| &*exporter.cluster == cluster)
    }
}

/// Whether gateways carry this transport.
pub const fn carried(transport: Transport) -> bool {
    matches!(transport, Transport::Tcp)
}

/// `protocol` as it stands in a Service.
pub const fn transport_label(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
        Transport::Sctp => "SCTP",
    }
}

/// Merges the exports of all clusters. The oldest export decides what cannot be joined, so that
/// a newcomer cannot seize a service; of two that are equally old, the cluster's name decides,
/// which is the same everywhere.
pub fn merge(members: &[Member]) -> Imports {
    let mut exports: BTreeMap<&Name, Vec<(Exporter, &CatalogService)>> = BTreeMap::new();
    for member in members {
        for (name, service) in &member.services {
            let cluster = Arc::clone(&member.cluster);
            let exporter = Exporter { exported_at: service.exported_at, cluster };
            exports.entry(name).or_default().push((exporter, service));
        }
    }
    let merged = exports.into_iter().filter_map(|(name, mut exports)| {
        exports.sort_by(|(one, _), (other, _)| one.cmp(other));
        Some((name.clone(), merge_service(&exports)?))
    });
    Imports { services: merged.collect() }
}

/// Merges the exports of one service, the oldest first.
pub(crate) fn merge_service(exports: &[(Exporter, &CatalogService)]) -> Option<Import> {
    let (_, oldest) = exports.first()?;
    let mut import = Import {
        headless: oldest.headless,
        ports: Vec::new(),
        session_affinity_seconds: oldest.session_affinity_seconds,
        internal_traffic_policy: oldest.internal_traffic_policy.clone(),
        traffic_distribution: oldest.traffic_distribution.clone(),
        labels: oldest.labels.clone(),
        annotations: oldest.annotations.clone(),
        exporters: exports.iter().map(|(exporter, _)| exporter.clone()).collect(),
        conflicts: Vec::new(),
    };
    for (exporter, service) in exports {
        let cluster = &exporter.cluster;
        import.conflicts.extend(contradictions(oldest, service).map(|(reason, what)| Conflict {
            reason,
            message: format!("cluster `{cluster}` contradicts the oldest export in {what}"),
        }));
        for port in &service.ports {
            merge_port(&mut import, cluster, port);
        }
    }
    Some(import)
}

/// What a younger export says other than the oldest.
fn contradictions(
    oldest: &CatalogService,
    younger: &CatalogService,
) -> impl Iterator<Item = (ExportReason, &'static str)> {
    use ExportReason as Reason;
    let (old_affinity, affinity) =
        (oldest.session_affinity_seconds, younger.session_affinity_seconds);
    let both_affine = old_affinity.is_some() && affinity.is_some();
    [
        (oldest.headless != younger.headless, Reason::TypeConflict, "its type"),
        (
            old_affinity.is_some() != affinity.is_some(),
            Reason::SessionAffinityConflict,
            "sessionAffinity",
        ),
        (
            both_affine && old_affinity != affinity,
            Reason::SessionAffinityConfigConflict,
            "the timeout of sessionAffinity",
        ),
        (
            oldest.internal_traffic_policy != younger.internal_traffic_policy,
            Reason::InternalTrafficPolicyConflict,
            "internalTrafficPolicy",
        ),
        (
            oldest.traffic_distribution != younger.traffic_distribution,
            Reason::TrafficDistributionConflict,
            "trafficDistribution",
        ),
        (oldest.labels != younger.labels, Reason::LabelsConflict, "exportedLabels"),
        (
            oldest.annotations != younger.annotations,
            Reason::AnnotationsConflict,
            "exportedAnnotations",
        ),
    ]
    .into_iter()
    .filter_map(|(differs, reason, what)| differs.then_some((reason, what)))
}

/// Joins a port: by its number, which is what a client dials, else by its name.
fn merge_port(import: &mut Import, cluster: &Arc<str>, port: &CatalogPort) {
    let same_number = |known: &&mut ImportedPort| {
        known.port.transport == port.transport && known.port.number == port.number
    };
    let contradiction = if let Some(known) = import.ports.iter_mut().find(same_number) {
        if !known.clusters.contains(cluster) {
            known.clusters.push(Arc::clone(cluster));
        }
        (known.port.name != port.name || known.port.app_protocol != port.app_protocol)
            .then(|| describe(&known.port))
    } else if let Some(known) = import.ports.iter().find(|known| known.port.name == port.name) {
        Some(describe(&known.port))
    } else {
        let clusters = vec![Arc::clone(cluster)];
        import.ports.push(ImportedPort { port: port.clone(), clusters });
        None
    };
    if let Some(known) = contradiction {
        let described = describe(port);
        import.conflicts.push(Conflict {
            reason: ExportReason::PortConflict,
            message: format!("cluster `{cluster}` exports {described}, an older export {known}"),
        });
    }
}

/// A port in words.
fn describe(port: &CatalogPort) -> String {
    let CatalogPort { name, number, transport, app_protocol, .. } = port;
    let transport = transport_label(*transport);
    let spoken = app_protocol.as_deref().map_or(String::new(), |spoken| format!(" ({spoken})"));
    format!("port `{name}` {number}/{transport}{spoken}")
}

#[cfg(test)]
mod tests;
