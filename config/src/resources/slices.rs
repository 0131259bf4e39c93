//! `EndpointSlice`s, kept apart so that their churn recompiles no route.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DynamicObject;

use super::{Broken, Object, name_of, read, version_of};
use crate::model::{Kind, Name};

/// The label that names the Service which a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The slices of one Service, by name.
pub type ServiceSlices = OrdMap<Arc<str>, Arc<EndpointSlice>>;

/// `EndpointSlice`s by the Service that they belong to, then by their own name.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// Service → slice → object.
    pub by_service: OrdMap<Name, ServiceSlices>,
    /// Slice → Service: a slice whose label changes leaves the Service that it had.
    pub service_of: HashMap<Name, Name>,
    /// Those that could not be read.
    pub broken: OrdMap<Name, Arc<Broken>>,
    /// The highest version seen, deletions included.
    pub version: u64,
}

impl Slices {
    /// Takes the new version of a slice in, read or broken.
    pub fn apply(&mut self, object: DynamicObject) {
        let name = name_of(Kind::EndpointSlice, &object);
        let version = version_of(&object.metadata);
        match read(Kind::EndpointSlice, object) {
            Ok(Object::EndpointSlice(slice)) => self.put(&name, slice),
            Ok(_) => {}
            Err(broken) => self.break_off(&name, broken),
        }
        self.saw(version);
    }

    /// Takes the new version of a slice in. One that belongs to no Service is left out.
    pub fn put(&mut self, name: &Name, slice: Arc<EndpointSlice>) {
        self.saw(version_of(&slice.metadata));
        self.remove(name);
        let labels = slice.metadata.labels.as_ref();
        let Some(service) = labels.and_then(|labels| labels.get(SERVICE_NAME)) else { return };
        let service =
            Name { namespace: Arc::clone(&name.namespace), name: service.as_str().into() };
        let slices = self.by_service.entry(service.clone()).or_default();
        slices.insert(Arc::clone(&name.name), slice);
        self.service_of.insert(name.clone(), service);
    }

    /// The slice of that name, if it could be read and belongs to a Service.
    pub fn get(&self, name: &Name) -> Option<&Arc<EndpointSlice>> {
        self.by_service.get(self.service_of.get(name)?)?.get(&name.name)
    }

    /// Forgets a slice.
    pub fn remove(&mut self, name: &Name) {
        self.broken.remove(name);
        let Some(service) = self.service_of.remove(name) else { return };
        let Some(slices) = self.by_service.get_mut(&service) else { return };
        slices.remove(&name.name);
        if slices.is_empty() {
            self.by_service.remove(&service);
        }
    }

    /// Files a slice as one that cannot be read.
    pub fn break_off(&mut self, name: &Name, broken: Broken) {
        self.remove(name);
        self.broken.insert(name.clone(), Arc::new(broken));
    }

    /// Notes that a slice had this version.
    pub fn saw(&mut self, version: u64) {
        self.version = self.version.max(version);
    }
}
