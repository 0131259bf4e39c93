//! The objects as they are seen by something that is compiled: what it looks at is remembered.
//!
//! So nobody has to say a second time what a route or a Gateway depends on, or could say it wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Secret, Service};

use crate::api::{ConfigMap, GatewayClass, ReferenceGrant, ServiceImport};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Objects, Resources};

/// What something that was compiled depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Used {
    /// An object, whether it is there or not.
    Object(ObjectRef),
    /// The grants in a namespace.
    Grants(Arc<str>),
    /// The routes that rule the calls to an import or a mirrored Service.
    Routes(ObjectRef),
    /// Which container ports the object with this UID has.
    Ports(Arc<str>),
}

/// The objects, and what was looked at.
pub(super) struct World<'a> {
    resources: &'a Resources,
    used: RefCell<BTreeSet<Used>>,
}

impl<'a> World<'a> {
    /// Nothing was looked at yet.
    pub(super) fn new(resources: &'a Resources) -> Self {
        Self { resources, used: RefCell::default() }
    }

    /// What was looked at.
    pub(super) fn into_used(self) -> BTreeSet<Used> {
        self.used.into_inner()
    }

    /// Notes something that is not found in the objects alone.
    pub(super) fn note(&self, used: Used) {
        self.used.borrow_mut().insert(used);
    }

    pub(super) fn class(&self, name: &Name) -> Option<&'a Arc<GatewayClass>> {
        self.look(Kind::GatewayClass, &self.resources.gateway_classes, name)
    }

    pub(super) fn config_map(&self, name: &Name) -> Option<&'a Arc<ConfigMap>> {
        self.look(Kind::ConfigMap, &self.resources.config_maps, name)
    }

    pub(super) fn namespace(&self, name: &Name) -> Option<&'a Arc<Namespace>> {
        self.look(Kind::Namespace, &self.resources.namespaces, name)
    }

    pub(super) fn secret(&self, name: &Name) -> Option<&'a Arc<Secret>> {
        self.look(Kind::Secret, &self.resources.secrets, name)
    }

    pub(super) fn service(&self, name: &Name) -> Option<&'a Arc<Service>> {
        self.look(Kind::Service, &self.resources.services, name)
    }

    pub(super) fn import(&self, name: &Name) -> Option<&'a Arc<ServiceImport>> {
        self.look(Kind::ServiceImport, &self.resources.service_imports, name)
    }

    /// The grants in a namespace.
    pub(super) fn grants(&self, namespace: &Arc<str>) -> impl Iterator<Item = &'a ReferenceGrant> {
        self.note(Used::Grants(Arc::clone(namespace)));
        let all = self.resources.reference_grants.valid.range(Name::new(namespace, "")..);
        let namespace = Arc::clone(namespace);
        all.take_while(move |(name, _)| name.namespace == namespace).map(|(_, grant)| &**grant)
    }

    fn look<T>(&self, kind: Kind, objects: &'a Objects<T>, name: &Name) -> Option<&'a Arc<T>> {
        self.note(Used::Object(ObjectRef::new(kind, name.clone())));
        objects.get(name)
    }
}
