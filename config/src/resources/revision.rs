//! Tells whether objects have changed in anything but what is said about them.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use super::Broken;
use crate::api::{
    ClusterLink, ConfigMap, Gateway, GatewayClass, HttpRoute, Pod, ReferenceGrant, ServiceExport,
    ServiceImport, TlsRoute,
};

/// Which objects `compile` sees. Two that are equal compile to the same; a status that was
/// written, which is most of what a busy controller is told, leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Revision(Arc<()>);

impl PartialEq for Revision {
    /// By identity: what was built apart is never taken for the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Revision {}

/// An object whose status, if it has one, is kept apart from what it asks for.
pub(super) trait Stated: Clone + PartialEq {
    fn metadata(&mut self) -> &mut ObjectMeta;

    /// Puts a status in the place of that which it has; one that cannot be read is none.
    fn set_status(&mut self, status: Option<&Value>);

    /// Whether both ask for the same.
    fn asks_like(&self, other: &Self) -> bool {
        self.is_like(other, |metadata| {
            metadata.resource_version = None;
            metadata.managed_fields = None;
        })
    }

    /// Whether both ask for the same, whatever their metadata are.
    fn says_like(&self, other: &Self) -> bool {
        self.is_like(other, |metadata| *metadata = ObjectMeta::default())
    }

    /// Whether both are the same without their status and what `strip` takes away.
    fn is_like(&self, other: &Self, strip: impl Fn(&mut ObjectMeta)) -> bool {
        let bare = |object: &Self| {
            let mut object = object.clone();
            object.set_status(None);
            strip(object.metadata());
            object
        };
        bare(self) == bare(other)
    }
}

macro_rules! stated {
    ($($kind:ty),+ => $set:expr) => {$(
        impl Stated for $kind {
            fn metadata(&mut self) -> &mut ObjectMeta {
                self.meta_mut()
            }

            fn set_status(&mut self, status: Option<&Value>) {
                let set: fn(&mut Self, Option<&Value>) = $set;
                set(self, status);
            }
        }
    )+};
}

stated!(
    ClusterLink, Gateway, GatewayClass, HttpRoute, Namespace, Pod, Service, ServiceExport,
    ServiceImport, TlsRoute => |object, status| {
        object.status = status.and_then(|status| Deserialize::deserialize(status).ok());
    }
);
stated!(ConfigMap, EndpointSlice, Lease, ReferenceGrant, RoleBinding, Secret => |_, _| {});

impl Broken {
    /// Whether both are wrong in the same way and ask for the same.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        let bare = |broken: &Self| Self { whole: bare(&broken.whole).into(), ..broken.clone() };
        bare(self) == bare(other)
    }
}

fn bare(whole: &Value) -> Value {
    let mut whole = whole.clone();
    if let Some(fields) = whole.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = whole.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
    }
    whole
}
