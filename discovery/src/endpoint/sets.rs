//! The endpoint sets of all owners. A Service may have a hundred ports: they lie side by side under its
//! name, as an entry of the map for each would take ten times the memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::model::{BackendKey, HashMap, Name, ServicePort};

use super::EndpointSet;

#[cfg(test)]
mod tests;

/// The set of each port of an owner, in the order of ports.
type PortSets = Arc<[(u16, Arc<EndpointSet>)]>;
type ByName = HashMap<Name, PortSets>;

/// The sets by the key that rules name. A copy is cheap and shares with its source all that does not
/// change.
#[derive(Clone, Debug, Default)]
pub struct EndpointSets {
    services: ByName,
    imports: ByName,
    mirrors: ByName,
}

/// Whose sets they are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'n> {
    Service(&'n Name),
    Import(&'n Name),
    Mirror(&'n Name),
}

impl<'k> From<&'k BackendKey> for Owner<'k> {
    fn from(key: &'k BackendKey) -> Self {
        match key {
            BackendKey::Service(port) => Self::Service(&port.service),
            BackendKey::Import(port) => Self::Import(&port.service),
            BackendKey::Mirror(port) => Self::Mirror(&port.service),
        }
    }
}

impl EndpointSets {
    /// The set under a key.
    pub fn get(&self, key: &BackendKey) -> Option<&Arc<EndpointSet>> {
        self.at(key.into(), key.port().port)
    }

    /// All of them, each with its key.
    pub fn iter(&self) -> impl Iterator<Item = (BackendKey, &Arc<EndpointSet>)> {
        let services = of_kind(&self.services, BackendKey::Service);
        let imports = of_kind(&self.imports, BackendKey::Import);
        services.chain(imports).chain(of_kind(&self.mirrors, BackendKey::Mirror))
    }

    /// Whether both are one and the same, so that nothing has changed.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.services.ptr_eq(&other.services)
            && self.imports.ptr_eq(&other.imports)
            && self.mirrors.ptr_eq(&other.mirrors)
    }

    /// Puts a set under a key.
    pub fn insert(&mut self, key: &BackendKey, set: Arc<EndpointSet>) {
        let added = (key.port().port, set);
        let sets: Vec<_> = self.of(key.into()).iter().cloned().chain([added]).collect();
        self.put(key.into(), sets);
    }

    /// The sets of an owner.
    pub(super) fn of(&self, owner: Owner<'_>) -> &[(u16, Arc<EndpointSet>)] {
        let sets = match owner {
            Owner::Service(name) => self.services.get(name),
            Owner::Import(name) => self.imports.get(name),
            Owner::Mirror(name) => self.mirrors.get(name),
        };
        sets.map_or(&[], |sets| sets)
    }

    /// The set of one of its ports.
    pub(super) fn at(&self, owner: Owner<'_>, port: u16) -> Option<&Arc<EndpointSet>> {
        find(self.of(owner), port)
    }

    /// Puts sets in the place of all that an owner had; the last of a port counts. Says whether any is
    /// another now.
    pub(super) fn put(
        &mut self,
        owner: Owner<'_>,
        sets: impl IntoIterator<Item = (u16, Arc<EndpointSet>)>,
    ) -> bool {
        let known = self.of(owner);
        let sets: BTreeMap<_, _> = sets.into_iter().collect();
        // What is equal stays as it is: a mirror may have the same.
        let kept = sets.into_iter().map(|(port, set)| {
            let same = find(known, port).filter(|known| **known == set);
            (port, same.cloned().unwrap_or(set))
        });
        let sets: PortSets = kept.collect();
        if *sets == *known {
            return false;
        }
        let (all, name) = match owner {
            Owner::Service(name) => (&mut self.services, name),
            Owner::Import(name) => (&mut self.imports, name),
            Owner::Mirror(name) => (&mut self.mirrors, name),
        };
        if sets.is_empty() {
            all.remove(name);
        } else {
            all.insert(name.clone(), sets);
        }
        true
    }
}

fn of_kind(
    all: &ByName,
    key: fn(ServicePort) -> BackendKey,
) -> impl Iterator<Item = (BackendKey, &Arc<EndpointSet>)> {
    let ports = all.iter().flat_map(|(name, sets)| sets.iter().map(move |it| (name, it)));
    ports.map(move |(name, (port, set))| {
        (key(ServicePort { service: name.clone(), port: *port }), set)
    })
}

fn find(sets: &[(u16, Arc<EndpointSet>)], port: u16) -> Option<&Arc<EndpointSet>> {
    let at = sets.binary_search_by_key(&port, |(number, _)| *number).ok()?;
    sets.get(at).map(|(_, set)| set)
}
