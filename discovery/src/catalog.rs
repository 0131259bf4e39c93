//! What a cluster exports to one link: services, ports, endpoints.
//!
//! ```text
//! export, slices ─► Exports ─► Offer of each link ─► server ═(mTLS)═ client ─► inbox ─► Catalog
//!                                └─► ExportTable: asked again on every connection
//! ```
//!
//! `generated.rs` is made of `proto/catalog.proto` by
//! `SPANWAY_BLESS=1 cargo test -p spanway-discovery --lib the_generated_code_is_current`.

mod change;
pub mod client;
mod inbox;
mod offer;
pub mod server;
mod wire;

#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::allow_attributes,
    clippy::clone_on_ref_ptr,
    missing_docs,
    unused_qualifications,
    reason = "generated"
)]
#[rustfmt::skip]
pub mod generated;

use std::sync::Arc;

use config::model::{AppProtocol, Kind, Name};
use config::resources::Versions;
use imbl::{OrdMap, OrdSet};

pub use self::change::{Change, apply, diff};
pub use self::inbox::{DEFAULT_BYTES_MAX, Inbox, Quota, Received};
pub use self::offer::{
    Addresses, ExportRule, ExportTable, Exported, Exports, NamespaceLabels, Offer, Offers,
    PortAddresses, Refusal, Resolved,
};
pub use self::wire::InvalidCatalog;
use crate::endpoint::EndpointId;

/// The version of the protocol between gateways that we speak: of the catalog, and of calls.
pub const PROTOCOL: u32 = 1;

/// The highest object version seen of each watched kind, deletions included, by the kind's label:
/// it means the same on every replica of a cluster's gateways.
pub type Version = OrdMap<Arc<str>, u64>;

/// The kinds that decide what a catalog says. Others have no part in its version: replicas may
/// watch different objects of them.
const KINDS: [Kind; 5] =
    [Kind::ClusterLink, Kind::EndpointSlice, Kind::Namespace, Kind::Service, Kind::ServiceExport];

/// What of `versions` decides what a catalog says.
pub fn version(versions: &Versions) -> Version {
    let kinds = KINDS.into_iter();
    kinds.filter_map(|kind| Some((Arc::from(kind.label()), *versions.get(&kind)?))).collect()
}

/// All that one cluster exports to one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The exported services.
    pub services: OrdMap<Name, Arc<CatalogService>>,
    /// How far the exporter's watches were.
    pub version: Version,
    /// Instance ids of the exporter's gateways that drain.
    pub draining: OrdSet<Arc<str>>,
    /// How far the whole cluster is drained, 0 to 100 percent.
    pub drained_percent: u8,
}

/// An exported service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogService {
    /// `creationTimestamp` of its `ServiceExport`, seconds since 1970: the oldest wins (KEP-1645).
    pub exported_at: i64,
    /// `ClusterSetIP` or `Headless`.
    pub headless: bool,
    /// Its ports.
    pub ports: Vec<CatalogPort>,
    /// The endpoints that may get new requests.
    pub endpoints: OrdMap<EndpointId, Arc<CatalogEndpoint>>,
    /// `sessionAffinity: ClientIP` with its timeout in seconds.
    pub session_affinity_seconds: Option<i32>,
    /// `internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Arc<str>>,
    /// `trafficDistribution`.
    pub traffic_distribution: Option<Arc<str>>,
    /// `spec.exportedLabels`.
    pub labels: OrdMap<Arc<str>, Arc<str>>,
    /// `spec.exportedAnnotations`.
    pub annotations: OrdMap<Arc<str>, Arc<str>>,
    /// `ipFamilies`.
    pub ip_families: Vec<Arc<str>>,
}

/// A port of an exported service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CatalogPort {
    /// Its name, empty where the Service has only one.
    pub name: Arc<str>,
    /// Its number in the exporter's Service.
    pub number: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub transport: Transport,
    /// `appProtocol` as it was read.
    pub protocol: AppProtocol,
    /// `appProtocol` as it was written, for the import.
    pub app_protocol: Option<Arc<str>>,
}

/// `protocol` of a Service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Carried.
    Tcp,
    /// Imported, not carried.
    Udp,
    /// Imported, not carried.
    Sctp,
}

impl CatalogService {
    /// The service without its endpoints.
    #[must_use]
    pub fn head(&self) -> Self {
        Self { endpoints: OrdMap::new(), ..self.clone() }
    }
}

impl Transport {
    /// Reads `protocol`, which is TCP where nothing is said.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }

    /// As it stands in a Service.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// An endpoint as the near cluster sees it: no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEndpoint {
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// Names of the ports that it serves; `None` means all.
    pub ports: Option<Vec<Arc<str>>>,
}

#[cfg(test)]
mod tests;
