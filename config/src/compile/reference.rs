//! References between objects, whatever kind of route or listener holds them.

use std::sync::Arc;

use crate::api::gateway::{gateway as gw, httproute as http, tlsroute as tls};
use crate::verdict::ParentRef;

pub(super) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
pub(super) const MCS_GROUP: &str = "multicluster.x-k8s.io";

/// `backendRefs[]`, but for its filters.
#[derive(Clone, Debug)]
pub(super) struct BackendRef {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) port: Option<i32>,
    pub(super) weight: Option<i32>,
}

/// A reference to a Secret or `ConfigMap` with certificates.
#[derive(Clone, Debug)]
pub(super) struct CertificateRef {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
}

macro_rules! parent_ref {
    ($($from:ty),*) => { $(
        impl From<&$from> for ParentRef {
            fn from(parent: &$from) -> Self {
                Self {
                    group: parent.group.clone(),
                    kind: parent.kind.clone(),
                    name: parent.name.clone(),
                    namespace: parent.namespace.clone(),
                    port: parent.port,
                    section_name: parent.section_name.clone(),
                }
            }
        }
    )* };
}
parent_ref!(http::HttpRouteParentRefs, tls::TlsRouteParentRefs);
parent_ref!(http::HttpRouteStatusParentsParentRef, tls::TlsRouteStatusParentsParentRef);

macro_rules! backend_ref {
    ($($from:ty),*) => { $(
        impl From<&$from> for BackendRef {
            fn from(backend: &$from) -> Self {
                Self {
                    group: backend.group.clone(),
                    kind: backend.kind.clone(),
                    name: backend.name.clone(),
                    namespace: backend.namespace.clone(),
                    port: backend.port,
                    weight: backend.weight,
                }
            }
        }
    )* };
}
backend_ref!(http::HttpRouteRulesBackendRefs, tls::TlsRouteRulesBackendRefs);

impl From<&gw::GatewayListenersTlsCertificateRefs> for CertificateRef {
    fn from(reference: &gw::GatewayListenersTlsCertificateRefs) -> Self {
        Self {
            group: reference.group.clone().unwrap_or_default(),
            kind: reference.kind.clone().unwrap_or_else(|| "Secret".to_owned()),
            name: reference.name.clone(),
            namespace: reference.namespace.clone(),
        }
    }
}

macro_rules! ca_ref {
    ($($from:ty),*) => { $(
        impl From<&$from> for CertificateRef {
            fn from(reference: &$from) -> Self {
                Self {
                    group: reference.group.clone(),
                    kind: reference.kind.clone(),
                    name: reference.name.clone(),
                    namespace: reference.namespace.clone(),
                }
            }
        }
    )* };
}
ca_ref!(
    gw::GatewayTlsFrontendDefaultValidationCaCertificateRefs,
    gw::GatewayTlsFrontendPerPortTlsValidationCaCertificateRefs
);

/// A UID as the table holds it.
pub(super) fn uid_of(metadata: &kube::core::ObjectMeta) -> Arc<str> {
    metadata.uid.as_deref().unwrap_or_default().into()
}

/// When an object was made, in seconds; one that does not say it is the youngest.
pub(super) fn created(metadata: &kube::core::ObjectMeta) -> i64 {
    metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second())
}

/// A port number, where it is one.
pub(super) fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}
