//! Tells two catalogs apart: a change costs what it changes, not what the catalog holds.

use std::sync::Arc;

use config::model::Name;
use imbl::OrdSet;
use imbl::ordmap::DiffItem;

use super::{Catalog, CatalogEndpoint, CatalogService, Version};
use crate::endpoint::EndpointId;

/// One step from a catalog to the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The service is there, with this head; its endpoints stay as they are.
    PutService(Name, Arc<CatalogService>),
    /// The service is gone, with its endpoints.
    RemoveService(Name),
    /// The endpoint may get new requests.
    PutEndpoint(Name, EndpointId, Arc<CatalogEndpoint>),
    /// The endpoint gets no new request.
    RemoveEndpoint(Name, EndpointId),
    /// These gateways drain, no others.
    Draining(OrdSet<Arc<str>>),
    /// The whole cluster is drained so far.
    DrainedPercent(u8),
    /// The exporter's watches are here.
    Version(Version),
}

/// The steps from `old` to `new`. What both share is not looked at.
pub fn diff(old: &Catalog, new: &Catalog) -> Vec<Change> {
    let mut changes = Vec::new();
    for item in old.services.diff(&new.services) {
        match item {
            DiffItem::Add(name, service) => put_service(&mut changes, name, None, service),
            DiffItem::Update { old: (_, old), new: (name, new) } => {
                put_service(&mut changes, name, Some(old), new);
            }
            DiffItem::Remove(name, _) => changes.push(Change::RemoveService(name.clone())),
        }
    }
    if old.draining != new.draining {
        changes.push(Change::Draining(new.draining.clone()));
    }
    if old.drained_percent != new.drained_percent {
        changes.push(Change::DrainedPercent(new.drained_percent));
    }
    if old.version != new.version {
        changes.push(Change::Version(new.version.clone()));
    }
    changes
}

fn put_service(
    changes: &mut Vec<Change>,
    name: &Name,
    old: Option<&Arc<CatalogService>>,
    new: &Arc<CatalogService>,
) {
    if old.is_some_and(|old| Arc::ptr_eq(old, new)) {
        return;
    }
    let head = new.head();
    if old.is_none_or(|old| old.head() != head) {
        changes.push(Change::PutService(name.clone(), Arc::new(head)));
    }
    let none = imbl::OrdMap::new();
    let before = old.map_or(&none, |old| &old.endpoints);
    for item in before.diff(&new.endpoints) {
        changes.push(match item {
            DiffItem::Add(id, endpoint) | DiffItem::Update { new: (id, endpoint), .. } => {
                Change::PutEndpoint(name.clone(), id.clone(), Arc::clone(endpoint))
            }
            DiffItem::Remove(id, _) => Change::RemoveEndpoint(name.clone(), id.clone()),
        });
    }
}

/// Takes one step. An endpoint of a service that is not there changes nothing.
pub fn apply(catalog: &mut Catalog, change: Change) {
    match change {
        Change::PutService(name, head) => {
            let endpoints = catalog.services.get(&name).map(|known| known.endpoints.clone());
            let mut service = Arc::unwrap_or_clone(head);
            service.endpoints = endpoints.unwrap_or_default();
            catalog.services.insert(name, Arc::new(service));
        }
        Change::RemoveService(name) => {
            catalog.services.remove(&name);
        }
        Change::PutEndpoint(name, id, endpoint) => {
            if let Some(service) = catalog.services.get_mut(&name) {
                Arc::make_mut(service).endpoints.insert(id, endpoint);
            }
        }
        Change::RemoveEndpoint(name, id) => {
            if let Some(service) = catalog.services.get_mut(&name) {
                Arc::make_mut(service).endpoints.remove(&id);
            }
        }
        Change::Draining(instances) => catalog.draining = instances,
        Change::DrainedPercent(percent) => catalog.drained_percent = percent.min(100),
        Change::Version(version) => catalog.version = version,
    }
}

#[cfg(test)]
mod tests;
