//! The custom resources that Spanway reads and writes.

pub mod cluster_link;
pub mod gateway;
pub mod mcs;

pub use self::cluster_link::ClusterLink;
pub use self::gateway::{Gateway, GatewayClass, HttpRoute, ReferenceGrant, TlsRoute};
pub use self::mcs::{ServiceExport, ServiceImport};
