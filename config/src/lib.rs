//! What the operator wrote, compiled into what the gateway runs.
//!
//! ```text
//! API server ─┐
//!             ├─► source ─► Resources ─► compile ─► RoutingTable   (read by every request)
//! directory ──┘                              └────► verdicts ─► status ─► Writer
//! ```
//!
//! This room knows Gateway API, MCS API and our own objects; it knows neither sockets nor
//! remote clusters. `compile` is pure and cannot fail: one bad object costs itself.

pub mod model;

pub mod api;

pub mod compile;

pub mod marks;

pub mod packed;

pub mod ports;

pub mod resources;

pub mod source;

pub mod writer;

pub mod leader;

pub mod table;

pub mod verdict;

pub mod status;

pub mod gateway_service;

pub mod explain;

pub mod validate;
