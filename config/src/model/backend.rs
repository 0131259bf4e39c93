//! What a rule sends requests to, before anybody knows its endpoints.

use std::fmt;

use super::Name;

/// A port of a Service or `ServiceImport`, by its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePort {
    /// The Service or `ServiceImport`.
    pub service: Name,
    /// The port's number in its spec, not the pod's.
    pub port: u16,
}

impl fmt::Display for ServicePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// Whose endpoints are meant: the key that joins the routing table with the endpoint table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BackendKey {
    /// The endpoints of a Service in this cluster.
    Service(ServicePort),
    /// The endpoints of all exporting clusters, this one included (GEP-1748).
    Import(ServicePort),
    /// The remote endpoints that a mirrored Service stands for; the Service is the mirrored one.
    Mirror(ServicePort),
}

impl BackendKey {
    /// The port that is meant, whoever serves it.
    pub const fn port(&self) -> &ServicePort {
        match self {
            Self::Service(port) | Self::Import(port) | Self::Mirror(port) => port,
        }
    }
}

impl fmt::Display for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(port) => write!(f, "Service {port}"),
            Self::Import(port) => write!(f, "ServiceImport {port}"),
            Self::Mirror(port) => write!(f, "mirrored Service {port}"),
        }
    }
}
