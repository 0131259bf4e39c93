//! The custom resources that Spanway reads and writes, and of others what it needs.

pub mod cluster_link;
pub mod config_map;
pub mod gateway;
pub mod mcs;
pub mod pod;

pub use self::cluster_link::ClusterLink;
pub use self::config_map::ConfigMap;
pub use self::gateway::{Gateway, GatewayClass, HttpRoute, ReferenceGrant, TlsRoute};
pub use self::mcs::{ServiceExport, ServiceImport};
pub use self::pod::Pod;
