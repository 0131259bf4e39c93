//! What was read from the source, object by object: what `compile` sees.

mod read;
mod revision;
mod slices;

use std::sync::Arc;

use imbl::OrdMap;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;

use crate::api::{
    ClusterLink, Gateway, GatewayClass, HttpRoute, Pod, ReferenceGrant, ServiceExport,
    ServiceImport, TlsRoute,
};
use crate::model::{Kind, Name, ObjectRef};

use self::revision::Stated;

pub use self::read::{check, name_of, version_of};
pub use self::revision::Revision;
pub use self::slices::{ServiceSlices, Slices};

/// Everything that was read but for `EndpointSlice`s, which change often and recompile nothing.
/// Cheap to clone: the maps share what they have in common.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each holds the objects of the kind of that name")]
pub struct Resources {
    pub cluster_links: Objects<ClusterLink>,
    pub config_maps: Objects<ConfigMap>,
    pub gateway_classes: Objects<GatewayClass>,
    pub gateways: Objects<Gateway>,
    pub http_routes: Objects<HttpRoute>,
    pub namespaces: Objects<Namespace>,
    pub pods: Objects<Pod>,
    pub reference_grants: Objects<ReferenceGrant>,
    pub role_bindings: Objects<RoleBinding>,
    pub secrets: Objects<Secret>,
    pub service_exports: Objects<ServiceExport>,
    pub service_imports: Objects<ServiceImport>,
    pub services: Objects<Service>,
    pub tls_routes: Objects<TlsRoute>,
    /// The highest object version seen of each kind, deletions included.
    pub versions: Versions,
    revision: Revision,
}

/// The objects of one kind. An object that cannot be read is known by its name and the reason.
#[derive(Clone, Debug)]
pub struct Objects<T> {
    /// Those that could be read.
    pub valid: OrdMap<Name, Arc<T>>,
    /// Those that could not, and why: each costs only itself.
    pub broken: OrdMap<Name, Arc<Broken>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { valid: OrdMap::new(), broken: OrdMap::new() }
    }
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its UID where that much could be read.
    pub uid: Option<Arc<str>>,
    /// Its generation, for `observedGeneration`.
    pub generation: Option<i64>,
    /// The field, as a path such as `spec.rules[0].matches[1].path.type`.
    pub field: String,
    /// What is wrong with it, a sentence.
    pub message: String,
    /// The object as it came, for the conditions that say what is wrong with it; nothing for
    /// kinds whose status is not ours.
    pub whole: Arc<serde_json::Value>,
}

/// The highest object version seen of each watched kind, deletions included.
pub type Versions = OrdMap<Kind, u64>;

impl Resources {
    /// Takes the new version of an object in, read or broken, in place of the one before.
    /// A kind that is not kept here leaves no trace but its version.
    pub fn apply(&mut self, kind: Kind, object: DynamicObject) {
        let name = name_of(kind, &object);
        self.saw(kind, version_of(&object));
        let differs = match kind {
            Kind::ClusterLink => self.cluster_links.apply(kind, name, object),
            Kind::ConfigMap => self.config_maps.apply(kind, name, object),
            Kind::Gateway => self.gateways.apply(kind, name, object),
            Kind::GatewayClass => self.gateway_classes.apply(kind, name, object),
            Kind::HttpRoute => self.http_routes.apply(kind, name, object),
            Kind::Namespace => self.namespaces.apply(kind, name, object),
            Kind::Pod => self.pods.apply(kind, name, object),
            Kind::ReferenceGrant => self.reference_grants.apply(kind, name, object),
            Kind::RoleBinding => self.role_bindings.apply(kind, name, object),
            Kind::Secret => self.secrets.apply(kind, name, object),
            Kind::Service => self.services.apply(kind, name, object),
            Kind::ServiceExport => self.service_exports.apply(kind, name, object),
            Kind::ServiceImport => self.service_imports.apply(kind, name, object),
            Kind::TlsRoute => self.tls_routes.apply(kind, name, object),
            Kind::EndpointSlice | Kind::Lease => false,
        };
        self.note(kind, differs);
    }

    /// Files an object as one that cannot be read.
    pub fn break_off(&mut self, object: &ObjectRef, broken: Broken) {
        let name = object.name.clone();
        let differs = match object.kind {
            Kind::ClusterLink => self.cluster_links.break_off(name, broken),
            Kind::ConfigMap => self.config_maps.break_off(name, broken),
            Kind::Gateway => self.gateways.break_off(name, broken),
            Kind::GatewayClass => self.gateway_classes.break_off(name, broken),
            Kind::HttpRoute => self.http_routes.break_off(name, broken),
            Kind::Namespace => self.namespaces.break_off(name, broken),
            Kind::Pod => self.pods.break_off(name, broken),
            Kind::ReferenceGrant => self.reference_grants.break_off(name, broken),
            Kind::RoleBinding => self.role_bindings.break_off(name, broken),
            Kind::Secret => self.secrets.break_off(name, broken),
            Kind::Service => self.services.break_off(name, broken),
            Kind::ServiceExport => self.service_exports.break_off(name, broken),
            Kind::ServiceImport => self.service_imports.break_off(name, broken),
            Kind::TlsRoute => self.tls_routes.break_off(name, broken),
            Kind::EndpointSlice | Kind::Lease => false,
        };
        self.note(object.kind, differs);
    }

    /// Forgets an object.
    pub fn remove(&mut self, object: &ObjectRef) {
        let name = &object.name;
        let was_there = match object.kind {
            Kind::ClusterLink => self.cluster_links.remove(name),
            Kind::ConfigMap => self.config_maps.remove(name),
            Kind::Gateway => self.gateways.remove(name),
            Kind::GatewayClass => self.gateway_classes.remove(name),
            Kind::HttpRoute => self.http_routes.remove(name),
            Kind::Namespace => self.namespaces.remove(name),
            Kind::Pod => self.pods.remove(name),
            Kind::ReferenceGrant => self.reference_grants.remove(name),
            Kind::RoleBinding => self.role_bindings.remove(name),
            Kind::Secret => self.secrets.remove(name),
            Kind::Service => self.services.remove(name),
            Kind::ServiceExport => self.service_exports.remove(name),
            Kind::ServiceImport => self.service_imports.remove(name),
            Kind::TlsRoute => self.tls_routes.remove(name),
            Kind::EndpointSlice | Kind::Lease => false,
        };
        self.note(object.kind, was_there);
    }

    /// Equal for as long as no object that `compile` sees changes in more than its status.
    pub const fn revision(&self) -> &Revision {
        &self.revision
    }

    /// Notes that an object of this kind had this version.
    pub fn saw(&mut self, kind: Kind, version: u64) {
        if self.versions.get(&kind).is_none_or(|known| *known < version) {
            self.versions.insert(kind, version);
        }
    }

    /// Pods and `RoleBinding`s are the leader's alone: nothing is compiled from them.
    fn note(&mut self, kind: Kind, differs: bool) {
        if differs && !matches!(kind, Kind::Pod | Kind::RoleBinding) {
            self.revision = Revision::default();
        }
    }
}

impl<T> Objects<T> {
    /// The object of that name, if it could be read.
    pub fn get(&self, name: &Name) -> Option<&Arc<T>> {
        self.valid.get(name)
    }

    /// Whether the object asks for anything else than before.
    fn apply(&mut self, kind: Kind, name: Name, object: DynamicObject) -> bool
    where
        T: DeserializeOwned + Stated,
    {
        match read::read(kind, object) {
            Ok(read) => {
                self.broken.remove(&name);
                let differs = self.valid.get(&name).is_none_or(|known| !known.asks_like(&read));
                self.valid.insert(name, Arc::new(read));
                differs
            }
            Err(broken) => self.break_off(name, broken),
        }
    }

    fn break_off(&mut self, name: Name, broken: Broken) -> bool {
        self.valid.remove(&name);
        let differs = self.broken.get(&name).is_none_or(|known| !known.asks_like(&broken));
        self.broken.insert(name, Arc::new(broken));
        differs
    }

    fn remove(&mut self, name: &Name) -> bool {
        let (valid, broken) = (self.valid.remove(name), self.broken.remove(name));
        valid.is_some() || broken.is_some()
    }
}

#[cfg(test)]
mod tests;
