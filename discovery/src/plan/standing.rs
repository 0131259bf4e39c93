//! What stands for a cluster that has not been heard yet: a new leader changes nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::api::mcs::{ImportType, ServiceImport};
use config::model::{AppProtocol, Name};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::catalog::{CatalogPort, CatalogService, Transport};
use crate::merge::{Import, transport_label};

use super::marks;

/// What an import's annotation says of one exporting cluster.
#[derive(Serialize, Deserialize)]
struct Exported {
    at: i64,
    ports: Vec<ExportedPort>,
}

#[derive(Serialize, Deserialize)]
struct ExportedPort {
    name: String,
    port: u16,
    protocol: String,
    #[serde(rename = "appProtocol", skip_serializing_if = "Option::is_none")]
    app_protocol: Option<String>,
}

/// The annotation that `stood` reads again: cluster → age and ports of its export.
pub(super) fn record(import: &Import) -> String {
    let exported = |cluster: &str| {
        let ports =
            import.ports.iter().filter(|port| port.clusters.iter().any(|c| &**c == cluster));
        ports.map(|imported| ExportedPort::of(&imported.port)).collect()
    };
    let exporters: BTreeMap<&str, Exported> = import
        .exporters
        .iter()
        .map(|exporter| (&*exporter.cluster, exporter))
        .map(|(cluster, exporter)| {
            (cluster, Exported { at: exporter.exported_at, ports: exported(cluster) })
        })
        .collect();
    serde_json::to_string(&exporters).unwrap_or_default()
}

/// What a cluster exported when our imports were written last: it stands in for a catalog that
/// was never received, so that an error withdraws nothing.
pub fn standing(
    cluster: &str,
    imports: &OrdMap<Name, Arc<ServiceImport>>,
) -> OrdMap<Name, Arc<CatalogService>> {
    imports
        .iter()
        .filter_map(|(name, import)| Some((name.clone(), Arc::new(stood(cluster, import)?))))
        .collect()
}

/// The same for one import.
pub fn stood(cluster: &str, import: &ServiceImport) -> Option<CatalogService> {
    if !marks::is_ours(&import.metadata) {
        return None;
    }
    let written = marks::annotation(&import.metadata, marks::EXPORTERS)?;
    let mut exporters: BTreeMap<String, Exported> = serde_json::from_str(written).ok()?;
    let exported = exporters.remove(cluster)?;
    let ports: Option<Vec<_>> = exported.ports.iter().map(ExportedPort::read).collect();
    let affinity = import.spec.session_affinity_config.as_ref();
    Some(CatalogService {
        exported_at: exported.at,
        headless: import.spec.type_ == ImportType::Headless,
        ports: ports?,
        endpoints: OrdMap::new(),
        session_affinity_seconds: affinity
            .and_then(|config| config.client_ip.as_ref()?.timeout_seconds),
        internal_traffic_policy: import.spec.internal_traffic_policy.as_deref().map(Arc::from),
        traffic_distribution: import.spec.traffic_distribution.as_deref().map(Arc::from),
        labels: marks::foreign(import.metadata.labels.as_ref()),
        annotations: marks::foreign(import.metadata.annotations.as_ref()),
        ip_families: Vec::new(),
    })
}

impl ExportedPort {
    fn of(port: &CatalogPort) -> Self {
        Self {
            name: port.name.as_ref().into(),
            port: port.number,
            protocol: transport_label(port.transport).into(),
            app_protocol: port.app_protocol.as_deref().map(Into::into),
        }
    }

    fn read(&self) -> Option<CatalogPort> {
        Some(CatalogPort {
            name: self.name.as_str().into(),
            number: self.port,
            transport: match self.protocol.as_str() {
                "TCP" => Transport::Tcp,
                "UDP" => Transport::Udp,
                "SCTP" => Transport::Sctp,
                _ => return None,
            },
            protocol: AppProtocol::parse(self.app_protocol.as_deref()),
            app_protocol: self.app_protocol.as_deref().map(Arc::from),
        })
    }
}
