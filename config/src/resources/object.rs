//! An object of any kind, read as what its kind says that it is.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::revision::Stated;
use crate::api::{
    ClusterLink, ConfigMap, Gateway, GatewayClass, HttpRoute, Pod, ReferenceGrant, ServiceExport,
    ServiceImport, TlsRoute,
};
use crate::model::Kind;

macro_rules! objects {
    ($($kind:ident),+) => {
        /// An object that could be read. Cheap to clone.
        #[derive(Clone, Debug)]
        #[expect(missing_docs, reason = "each is an object of the kind of that name")]
        pub enum Object {
            $($kind(Arc<$kind>)),+
        }

        impl Object {
            /// Reads an object of this kind.
            pub fn read<'de, D: Deserializer<'de>>(kind: Kind, from: D) -> Result<Self, D::Error> {
                match kind {
                    $(Kind::$kind => {
                        $kind::deserialize(from).map(|object| Self::$kind(Arc::new(object)))
                    })+
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => object.meta()),+
                }
            }

            /// Its metadata, to be changed. What others hold of the object stays as it is.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => Arc::make_mut(object).meta_mut()),+
                }
            }

            /// Puts a status in the place of that which it has. A kind that has none is left as it
            /// is, and one that cannot be read is none.
            pub fn set_status(&mut self, status: &Value) {
                match self {
                    $(Self::$kind(object) => Arc::make_mut(object).set_status(Some(status))),+
                }
            }

            /// Whether both ask for the same, metadata and status aside.
            pub fn says_like(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$kind(one), Self::$kind(other)) => one.says_like(other),)+
                    _ => false,
                }
            }
        }
    };
}

objects!(
    ClusterLink,
    ConfigMap,
    EndpointSlice,
    Gateway,
    GatewayClass,
    HttpRoute,
    Lease,
    Namespace,
    Pod,
    ReferenceGrant,
    RoleBinding,
    Secret,
    Service,
    ServiceExport,
    ServiceImport,
    TlsRoute
);
