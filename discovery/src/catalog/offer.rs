//! What each link may see of us: decided here, and asked again on every connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use config::api::ServiceExport;
use config::api::cluster_link::{self, Namespaces, Selector};
use config::model::{HashMap, LinkName, Name};
use config::resources::ServiceSlices;
use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service;

use super::{Catalog, CatalogEndpoint, CatalogService, Transport, Version};
use crate::endpoint::local::{self, LocalEndpoint};
use crate::endpoint::{EndpointId, LinkTarget};
use crate::export::{Export, ExportRejection, export};

/// The labels of a namespace, by its name.
pub type NamespaceLabels = HashMap<Arc<str>, Arc<BTreeMap<String, String>>>;

/// What each link gets of us.
pub type Offers = HashMap<LinkName, Arc<Offer>>;

/// One export with its endpoints, before any link's rule.
#[derive(Clone, Debug)]
pub struct Exported {
    /// What other clusters learn of it.
    pub service: Arc<CatalogService>,
    /// Where its endpoints are, by the number of each TCP port: nobody else learns that.
    pub addresses: Arc<Addresses>,
    /// The labels of the `ServiceExport`.
    pub labels: OrdMap<Arc<str>, Arc<str>>,
}

/// Where the endpoints of an export are, by the number of each TCP port.
pub type Addresses = BTreeMap<u16, PortAddresses>;

/// The endpoints behind one port of an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortAddresses {
    /// By id, those that leave and still answer included: a near gateway that chose one a moment
    /// ago still reaches it.
    by_id: BTreeMap<EndpointId, SocketAddr>,
    /// Those for new requests.
    usable: Arc<[SocketAddr]>,
}

/// All exports of this cluster. Immutable in parts: an update shares all other services.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    /// Those that are valid.
    pub services: OrdMap<Name, Arc<Exported>>,
    /// Those that are not.
    pub rejections: OrdMap<Name, Arc<ExportRejection>>,
}

/// What one link may see: those exports that fit both parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportRule {
    /// In which namespaces.
    pub namespaces: Namespaces,
    /// Which labels a `ServiceExport` must have.
    pub selector: Option<Selector>,
}

/// What one link gets: what it is told, and what it may reach.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// What it is told.
    pub catalog: Catalog,
    /// What it may reach.
    pub table: ExportTable,
    /// Up to where our watches are complete, lists and bookmarks included. Of one moment that is
    /// not later than that of the catalog: it says which callers the catalog may be shown to.
    pub reached: Version,
}

/// Service, port and endpoint → address, of what one link may reach.
#[derive(Clone, Debug, Default)]
pub struct ExportTable {
    services: HashMap<Name, Arc<Addresses>>,
}

/// Where a connection of a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The endpoint that was named.
    Endpoint(SocketAddr),
    /// No endpoint was named: one of these, never none.
    AnyOf(Arc<[SocketAddr]>),
}

/// Why a connection of a link leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The service is not exported to this link, or does not exist: it cannot tell which.
    NotExported,
    /// The service has no such TCP port.
    NoSuchPort,
    /// The port has no endpoint, or not the one that was named.
    NoEndpoint,
}

impl Refusal {
    /// The reason in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotExported => "NotExported",
            Self::NoSuchPort => "NoSuchPort",
            Self::NoEndpoint => "NoEndpoint",
        }
    }
}

impl Resolved {
    /// The address, of several the one that `chance` hits.
    pub fn pick(&self, chance: usize) -> Option<SocketAddr> {
        match self {
            Self::Endpoint(address) => Some(*address),
            Self::AnyOf(addresses) => addresses.get(chance.checked_rem(addresses.len())?).copied(),
        }
    }
}

impl Exported {
    /// The export with its endpoints.
    pub fn new(export: &Export, slices: &ServiceSlices) -> Self {
        let read = local::read(&export.service.ports, slices, &export.uid);
        let usable: BTreeMap<_, _> = local::usable(&read).collect();
        let tcp = export.service.ports.iter().filter(|port| port.transport == Transport::Tcp);
        let addresses = tcp.map(|port| {
            let here = PortAddresses {
                by_id: at(read.iter(), port.number).collect(),
                usable: at(usable.iter().map(|(id, it)| (*id, *it)), port.number)
                    .map(|(_, address)| address)
                    .collect(),
            };
            (port.number, here)
        });
        let addresses = Arc::new(addresses.collect());
        let told = |endpoint: &LocalEndpoint| Arc::new(tell(endpoint, &export.service));
        let endpoints = usable.iter().map(|(id, it)| ((*id).clone(), told(it))).collect();
        let service =
            Arc::new(CatalogService { endpoints, ..CatalogService::clone(&export.service) });
        Self { service, addresses, labels: export.labels.clone() }
    }
}

fn at<'a>(
    endpoints: impl Iterator<Item = (&'a EndpointId, &'a LocalEndpoint)>,
    port: u16,
) -> impl Iterator<Item = (EndpointId, SocketAddr)> {
    endpoints.filter_map(move |(id, endpoint)| Some((id.clone(), endpoint.address(port)?)))
}

/// What the near cluster learns of an endpoint.
fn tell(endpoint: &LocalEndpoint, service: &CatalogService) -> CatalogEndpoint {
    let tcp = || service.ports.iter().filter(|port| port.transport == Transport::Tcp);
    let served = || tcp().filter(|port| endpoint.ports.contains_key(&port.number));
    let all = tcp().count() == endpoint.ports.len();
    let names = || served().map(|port| Arc::clone(&port.name)).collect();
    CatalogEndpoint { zone: endpoint.zone.clone(), ports: (!all).then(names) }
}

impl Exports {
    /// With the export `name` as it is now. What does not change keeps its place in memory.
    pub fn update(
        &mut self,
        name: &Name,
        declared: Option<&ServiceExport>,
        service: Option<&Service>,
        slices: Option<&ServiceSlices>,
    ) {
        match declared.map(|declared| export(declared, service)) {
            None => {
                self.services.remove(name);
                self.rejections.remove(name);
            }
            Some(Err(rejection)) => {
                self.services.remove(name);
                self.rejections.insert(name.clone(), Arc::new(rejection));
            }
            Some(Ok(export)) => {
                let none = ServiceSlices::new();
                let mut next = Exported::new(&export, slices.unwrap_or(&none));
                if let Some(known) = self.services.get(name) {
                    next.keep(known);
                }
                self.services.insert(name.clone(), Arc::new(next));
                self.rejections.remove(name);
            }
        }
    }
}

impl Exported {
    /// Takes over the parts of `known` that are the same, so that nobody looks at them again.
    fn keep(&mut self, known: &Self) {
        if self.service == known.service {
            self.service = Arc::clone(&known.service);
        }
        if self.addresses == known.addresses {
            self.addresses = Arc::clone(&known.addresses);
        }
    }
}

impl From<&cluster_link::Export> for ExportRule {
    fn from(export: &cluster_link::Export) -> Self {
        Self { namespaces: export.namespaces.clone(), selector: export.selector.clone() }
    }
}

impl ExportRule {
    /// Whether the link may see the export.
    pub fn allows(&self, name: &Name, exported: &Exported, namespaces: &NamespaceLabels) -> bool {
        let known = namespaces.get(&name.namespace);
        let of_namespace = |key: &str| known.and_then(|labels| labels.get(key)).map(String::as_str);
        let of_export = |key: &str| exported.labels.get(key).map(|value| &**value);
        self.namespaces.contains(&name.namespace, of_namespace)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(of_export))
    }
}

impl Offer {
    /// What a link with this rule gets of all exports.
    pub fn build(rule: &ExportRule, exports: &Exports, namespaces: &NamespaceLabels) -> Self {
        let mut offer = Self::default();
        for name in exports.services.keys() {
            offer.update(rule, name, exports, namespaces);
        }
        offer
    }

    /// Whether what is offered is not older than what a caller has seen.
    pub fn covers(&self, known: &Version) -> bool {
        let at = |version: &Version, kind: &str| version.get(kind).copied().unwrap_or_default();
        let here = |kind: &str| at(&self.catalog.version, kind).max(at(&self.reached, kind));
        known.iter().all(|(kind, known)| here(kind) >= *known)
    }

    /// Whether the link may reach the same as with `other`, of the same services in memory.
    pub fn reaches_what(&self, other: &Self) -> bool {
        self.table.services.ptr_eq(&other.table.services)
    }

    /// With the export `name` as it is now.
    pub fn update(
        &mut self,
        rule: &ExportRule,
        name: &Name,
        exports: &Exports,
        namespaces: &NamespaceLabels,
    ) {
        let exported = exports.services.get(name);
        if let Some(exported) = exported.filter(|it| rule.allows(name, it, namespaces)) {
            self.catalog.services.insert(name.clone(), Arc::clone(&exported.service));
            self.table.services.insert(name.clone(), Arc::clone(&exported.addresses));
        } else {
            self.catalog.services.remove(name);
            self.table.services.remove(name);
        }
    }
}

impl ExportTable {
    /// Where a connection for `target` leads: one look-up, in the snapshot that the connection
    /// was accepted with.
    pub fn allows(&self, target: &LinkTarget) -> Result<Resolved, Refusal> {
        let ports = self.services.get(&target.service).ok_or(Refusal::NotExported)?;
        let port = ports.get(&target.port).ok_or(Refusal::NoSuchPort)?;
        match &target.endpoint {
            Some(id) => {
                port.by_id.get(id).copied().map(Resolved::Endpoint).ok_or(Refusal::NoEndpoint)
            }
            None if port.usable.is_empty() => Err(Refusal::NoEndpoint),
            None => Ok(Resolved::AnyOf(Arc::clone(&port.usable))),
        }
    }
}

#[cfg(test)]
mod tests;
