//! What was read from the source, object by object: what `compile` sees.

mod object;
mod read;
mod revision;
mod slices;

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::core::DynamicObject;

use crate::api::{
    ClusterLink, ConfigMap, Gateway, GatewayClass, HttpRoute, Pod, ReferenceGrant, ServiceExport,
    ServiceImport, TlsRoute,
};
use crate::model::{Kind, Name, ObjectRef};

use self::revision::Stated;

pub(crate) use self::read::read;

pub use self::object::Object;
pub use self::read::{name_of, version_of};
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
        self.saw(kind, version_of(&object.metadata));
        match read(kind, object) {
            Ok(object) => self.put(&ObjectRef::new(kind, name), object),
            Err(broken) => self.break_off(&ObjectRef::new(kind, name), broken),
        }
    }

    /// Takes the new version of an object in, in place of the one before. A kind that is not kept
    /// here leaves no trace but its version.
    pub fn put(&mut self, reference: &ObjectRef, object: Object) {
        self.saw(reference.kind, version_of(object.metadata()));
        let name = reference.name.clone();
        let differs = match object {
            Object::ClusterLink(object) => self.cluster_links.put(name, object),
            Object::ConfigMap(object) => self.config_maps.put(name, object),
            Object::Gateway(object) => self.gateways.put(name, object),
            Object::GatewayClass(object) => self.gateway_classes.put(name, object),
            Object::HttpRoute(object) => self.http_routes.put(name, object),
            Object::Namespace(object) => self.namespaces.put(name, object),
            Object::Pod(object) => self.pods.put(name, object),
            Object::ReferenceGrant(object) => self.reference_grants.put(name, object),
            Object::RoleBinding(object) => self.role_bindings.put(name, object),
            Object::Secret(object) => self.secrets.put(name, object),
            Object::Service(object) => self.services.put(name, object),
            Object::ServiceExport(object) => self.service_exports.put(name, object),
            Object::ServiceImport(object) => self.service_imports.put(name, object),
            Object::TlsRoute(object) => self.tls_routes.put(name, object),
            Object::EndpointSlice(_) | Object::Lease(_) => false,
        };
        self.note(reference.kind, differs);
    }

    /// The object as it was taken in last, if it could be read.
    pub fn get(&self, reference: &ObjectRef) -> Option<Object> {
        let name = &reference.name;
        match reference.kind {
            Kind::ClusterLink => self.cluster_links.get(name).cloned().map(Object::ClusterLink),
            Kind::ConfigMap => self.config_maps.get(name).cloned().map(Object::ConfigMap),
            Kind::Gateway => self.gateways.get(name).cloned().map(Object::Gateway),
            Kind::GatewayClass => self.gateway_classes.get(name).cloned().map(Object::GatewayClass),
            Kind::HttpRoute => self.http_routes.get(name).cloned().map(Object::HttpRoute),
            Kind::Namespace => self.namespaces.get(name).cloned().map(Object::Namespace),
            Kind::Pod => self.pods.get(name).cloned().map(Object::Pod),
            Kind::ReferenceGrant => {
                self.reference_grants.get(name).cloned().map(Object::ReferenceGrant)
            }
            Kind::RoleBinding => self.role_bindings.get(name).cloned().map(Object::RoleBinding),
            Kind::Secret => self.secrets.get(name).cloned().map(Object::Secret),
            Kind::Service => self.services.get(name).cloned().map(Object::Service),
            Kind::ServiceExport => {
                self.service_exports.get(name).cloned().map(Object::ServiceExport)
            }
            Kind::ServiceImport => {
                self.service_imports.get(name).cloned().map(Object::ServiceImport)
            }
            Kind::TlsRoute => self.tls_routes.get(name).cloned().map(Object::TlsRoute),
            Kind::EndpointSlice | Kind::Lease => None,
        }
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

/// The keys under which something else stands now. What both maps have in common is not looked at.
pub fn changed<'m, K, V>(
    before: &'m OrdMap<K, V>,
    now: &'m OrdMap<K, V>,
) -> impl Iterator<Item = K> + use<'m, K, V>
where
    K: Ord + Clone,
    V: PartialEq,
{
    before.diff(now).map(|item| match item {
        DiffItem::Add(key, _)
        | DiffItem::Remove(key, _)
        | DiffItem::Update { new: (key, _), .. } => key.clone(),
    })
}

impl<T> Objects<T> {
    /// The names under which something else stands than before.
    pub fn changed_since<'m>(&'m self, before: &'m Self) -> impl Iterator<Item = Name> + use<'m, T>
    where
        T: PartialEq,
    {
        changed(&before.valid, &self.valid).chain(changed(&before.broken, &self.broken))
    }

    /// The object of that name, if it could be read.
    pub fn get(&self, name: &Name) -> Option<&Arc<T>> {
        self.valid.get(name)
    }

    /// Whether the object asks for anything else than before.
    fn put(&mut self, name: Name, object: Arc<T>) -> bool
    where
        T: Stated,
    {
        self.broken.remove(&name);
        let now = Arc::clone(&object);
        let known = self.valid.insert(name, object);
        known.is_none_or(|known| !known.asks_like(&now))
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
