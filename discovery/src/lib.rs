//! Which clusters and endpoints exist.
//!
//! ```text
//! Services, EndpointSlices, exports ─► catalog server ─► (link) ─► catalog client ─► Catalog of each link
//! own slices + catalogs ─► endpoint::build ─► EndpointTable          (read by every request)
//! exports of all clusters ─► merge ─► plan ─► apply: ServiceImport, derived and mirrored Services, slices
//! ```
//!
//! This room knows neither sockets of the data path nor routes.

pub mod export;

pub mod catalog;

pub mod link;

pub mod freshness;

pub mod resolve;

pub mod endpoint;

pub mod report;

pub mod merge;

pub mod plan;

pub mod ports;

pub mod slices;

pub mod status;

pub mod apply;

pub mod controller;

#[cfg(test)]
mod samples;
