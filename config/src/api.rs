//! The custom resources that Spanway reads and writes, and of Pods what it needs.

pub mod cluster_link;
pub mod gateway;
pub mod mcs;
pub mod pod;

pub use self::cluster_link::ClusterLink;
pub use self::gateway::{Gateway, GatewayClass, HttpRoute, ReferenceGrant, TlsRoute};
pub use self::mcs::{ServiceExport, ServiceImport};
pub use self::pod::Pod;
