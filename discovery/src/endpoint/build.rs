//! Makes the endpoint table of slices and catalogs, key by key: a change costs the keys it touches.

mod remote;

use std::collections::BTreeSet;
use std::sync::Arc;

use config::model::{AppProtocol, HashMap, LinkName, Name};
use config::resources::Slices;
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::Service;

use self::remote::{Candidate, candidates};
use super::sets::Owner;
use super::{Endpoint, EndpointSet, EndpointTable, LinkPeers, Reach, local};
use crate::catalog::client::LinkState;
use crate::catalog::{CatalogPort, Exports, NamespaceLabels, Transport};
use crate::export::{is_ours, port};
use crate::link::Link;

/// What the table is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The Services of this cluster.
    pub services: &'a OrdMap<Name, Arc<Service>>,
    /// Their slices.
    pub slices: &'a Slices,
    /// What this cluster exports.
    pub exports: &'a Exports,
    /// The links, and what is known of each.
    pub links: &'a Links,
    /// The mirrored Services of this cluster, by their own names.
    pub mirrors: &'a OrdMap<Name, Mirrored>,
    /// The labels of this cluster's namespaces, by which import rules select.
    pub namespaces: &'a NamespaceLabels,
}

/// The links by name.
pub type Links = OrdMap<LinkName, LinkInput>;

/// A link, and what is known of it.
#[derive(Clone, Debug)]
pub struct LinkInput {
    /// The link.
    pub link: Arc<Link>,
    /// What is known of it.
    pub state: Arc<LinkState>,
}

/// What a mirrored Service stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The imported service.
    pub import: Name,
    /// The one cluster that is meant; all others' where none is named.
    pub link: Option<LinkName>,
}

/// What changed since the table was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Services: the object, its slices or its export.
    pub services: BTreeSet<Name>,
    /// Services of linked clusters.
    pub imports: BTreeSet<Name>,
    /// Mirrored Services: which there are, and what they stand for.
    pub mirrors: BTreeSet<Name>,
    /// Links: which there are, their addresses and their draining gateways.
    pub links: BTreeSet<LinkName>,
}

/// The table with what it takes to change it.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// What requests read.
    pub table: EndpointTable,
    /// Which mirrored Services stand for an import.
    mirrors: HashMap<Name, OrdSet<Name>>,
    /// And the way back.
    mirrored: HashMap<Name, Name>,
}

/// The sets of an owner, by port.
type Sets = Vec<(u16, Arc<EndpointSet>)>;

impl Touched {
    /// Everything, for the first table.
    pub fn all(inputs: &Inputs<'_>) -> Self {
        let remote = inputs.links.values().flat_map(|link| link.state.catalog.services.keys());
        Self {
            services: inputs.services.keys().cloned().collect(),
            imports: inputs.exports.services.keys().chain(remote).cloned().collect(),
            mirrors: inputs.mirrors.keys().cloned().collect(),
            links: inputs.links.keys().cloned().collect(),
        }
    }

    /// What changes with a link: the services that differ, or all of them where the link itself
    /// or the trust in what is known of it does.
    pub fn link(&mut self, old: Option<&LinkInput>, new: Option<&LinkInput>) {
        let (Some(before), Some(after)) = (old, new) else {
            for link in [old, new].into_iter().flatten() {
                self.links.insert(Arc::clone(&link.link.name));
                self.imports.extend(link.state.catalog.services.keys().cloned());
            }
            return;
        };
        let (known, now) = (&before.state.catalog, &after.state.catalog);
        if before.state.addresses != after.state.addresses || known.draining != now.draining {
            self.links.insert(Arc::clone(&after.link.name));
        }
        if remote::standing(before) != remote::standing(after)
            || before.link.import != after.link.import
        {
            self.imports.extend(known.services.keys().chain(now.services.keys()).cloned());
            return;
        }
        self.imports.extend(known.services.diff(&now.services).map(|item| match item {
            imbl::ordmap::DiffItem::Add(name, _)
            | imbl::ordmap::DiffItem::Remove(name, _)
            | imbl::ordmap::DiffItem::Update { new: (name, _), .. } => name.clone(),
        }));
    }

    /// What changes with namespaces or their labels: the services of links that select by them.
    pub fn namespaces(&mut self, links: &Links) {
        let selecting = links.values().filter(|it| it.link.import.namespaces.selector.is_some());
        self.imports.extend(selecting.flat_map(|it| it.state.catalog.services.keys()).cloned());
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Built {
    /// The table of all inputs.
    pub fn new(inputs: &Inputs<'_>) -> Self {
        let mut built = Self::default();
        built.update(inputs, &Touched::all(inputs));
        built
    }

    /// Brings what is touched up to date. Returns whether the table is another one now.
    pub fn update(&mut self, inputs: &Inputs<'_>, touched: &Touched) -> bool {
        let mut changed = false;
        let (mut imports, mut mirrors) = (touched.imports.clone(), touched.mirrors.clone());
        for name in &touched.services {
            changed |= self.service(inputs, name);
            let exported = inputs.exports.services.contains_key(name);
            if exported || !self.table.sets.of(Owner::Import(name)).is_empty() {
                imports.insert(name.clone());
            }
            if inputs.mirrors.contains_key(name) {
                mirrors.insert(name.clone());
            }
        }
        for name in &touched.mirrors {
            self.index(name, inputs.mirrors.get(name));
        }
        for name in &imports {
            let all = candidates(inputs, name, None, true);
            changed |= self.table.sets.put(Owner::Import(name), self.merged(name, &all));
            mirrors.extend(self.mirrors.get(name).into_iter().flatten().cloned());
        }
        for name in &mirrors {
            changed |= self.mirror(inputs, name);
        }
        for name in &touched.links {
            changed |= self.link(name, inputs.links.get(name));
        }
        changed
    }

    fn service(&mut self, inputs: &Inputs<'_>, name: &Name) -> bool {
        let service = inputs.services.get(name).filter(|service| !is_ours(&service.metadata));
        let sets = service.map(|service| direct(inputs, name, service)).unwrap_or_default();
        self.table.sets.put(Owner::Service(name), sets)
    }

    fn mirror(&mut self, inputs: &Inputs<'_>, name: &Name) -> bool {
        let owner = Owner::Mirror(name);
        let Some(mirrored) = inputs.mirrors.get(name) else {
            return self.table.sets.put(owner, []);
        };
        let remote = candidates(inputs, &mirrored.import, mirrored.link.as_ref(), false);
        let mut sets = self.merged(&mirrored.import, &remote);
        // Where this cluster does not export it too, the import has the same endpoints.
        let import = Owner::Import(&mirrored.import);
        for (port, set) in &mut sets {
            let same = self.table.sets.at(import, *port).filter(|known| **known == *set);
            if let Some(same) = same {
                *set = Arc::clone(same);
            }
        }
        // While the Service stands, what it stood for is known to have no endpoint.
        for (port, _) in self.table.sets.of(owner) {
            if !sets.iter().any(|(number, _)| number == port) {
                sets.push((*port, Arc::default()));
            }
        }
        // Where its user has taken the name over, and nothing is left of what it stood for, calls
        // of before go where the name leads now.
        let own = Owner::Service(name);
        for (port, set) in sets.iter_mut().filter(|(_, set)| set.endpoints.is_empty()) {
            if let Some(now) = self.table.sets.at(own, *port) {
                *set = Arc::clone(now);
            }
        }
        self.table.sets.put(owner, sets)
    }

    /// The ports of all candidates with the endpoints of those that have them. The oldest export
    /// says what a port speaks (KEP-1645).
    fn merged(&self, name: &Name, candidates: &[Candidate<'_>]) -> Sets {
        let mut ports: Vec<&CatalogPort> = Vec::new();
        for port in candidates.iter().flat_map(|it| &it.service.ports) {
            let known = ports.iter().any(|known| known.number == port.number);
            if port.transport == Transport::Tcp && !known {
                ports.push(port);
            }
        }
        let sets = ports.into_iter().map(|port| {
            let here = self.direct(name, port.number);
            let endpoints = remote::endpoints(name, port.number, candidates, here);
            (port.number, set(&port.protocol, endpoints))
        });
        sets.collect()
    }

    /// The endpoints of a Service of this cluster, as they stand in the table.
    fn direct(&self, service: &Name, port: u16) -> &[Arc<Endpoint>] {
        let set = self.table.sets.at(Owner::Service(service), port);
        set.map_or(&[], |set| &set.endpoints)
    }

    fn index(&mut self, name: &Name, mirrored: Option<&Mirrored>) {
        if let Some(import) = self.mirrored.remove(name) {
            let mut others = self.mirrors.remove(&import).unwrap_or_default();
            others.remove(name);
            if !others.is_empty() {
                self.mirrors.insert(import, others);
            }
        }
        if let Some(Mirrored { import, .. }) = mirrored {
            self.mirrored.insert(name.clone(), import.clone());
            self.mirrors.entry(import.clone()).or_default().insert(name.clone());
        }
    }

    fn link(&mut self, name: &LinkName, link: Option<&LinkInput>) -> bool {
        let Some(LinkInput { state, .. }) = link else {
            return self.table.links.remove(name).is_some();
        };
        let peers = LinkPeers {
            addresses: Arc::clone(&state.addresses),
            draining: state.catalog.draining.clone(),
        };
        if self.table.links.get(name).is_some_and(|known| **known == peers) {
            return false;
        }
        self.table.links.insert(Arc::clone(name), Arc::new(peers));
        true
    }
}

/// The endpoints of a Service of this cluster, port by port. Without a ready one, those that
/// leave and still answer are used (KEP-1669).
fn direct(inputs: &Inputs<'_>, name: &Name, service: &Service) -> Sets {
    let spec = service.spec.as_ref();
    if spec.is_none_or(|spec| spec.type_.as_deref() == Some("ExternalName")) {
        return Vec::new();
    }
    let ports: Vec<CatalogPort> =
        spec.into_iter().flat_map(|spec| spec.ports.iter().flatten()).filter_map(port).collect();
    let none = OrdMap::new();
    let slices = inputs.slices.by_service.get(name).unwrap_or(&none);
    let salt = service.metadata.uid.as_deref().unwrap_or_default();
    let read = local::read(&ports, slices, salt);
    let tcp = ports.iter().filter(|port| port.transport == Transport::Tcp);
    let sets = tcp.map(|port| {
        let endpoints = local::usable(&read).filter_map(|(id, endpoint)| {
            let reach = Reach::Direct(endpoint.address(port.number)?);
            Some(Arc::new(Endpoint { id: id.clone(), reach, zone: endpoint.zone.clone() }))
        });
        (port.number, set(&port.protocol, endpoints.collect()))
    });
    sets.collect()
}

fn set(protocol: &AppProtocol, mut endpoints: Vec<Arc<Endpoint>>) -> Arc<EndpointSet> {
    endpoints.sort_by(|a, b| a.id.cmp(&b.id));
    Arc::new(EndpointSet { protocol: protocol.clone(), endpoints: endpoints.into() })
}

#[cfg(test)]
mod tests;
