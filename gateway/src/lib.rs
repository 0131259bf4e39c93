//! Sockets, TLS, time: the path of a connection and of a request.
//!
//! ```text
//! accept ─► local port says whose ─► peek ─► SNI: pass through | terminate | plain
//!        ─► HTTP/1 or HTTP/2 ─► strict check ─► route ─► split ─► endpoint ─► connect or reuse ─► forward
//! ```
//!
//! Only this room knows pingora; only this room has a `main`.

pub mod snapshot;

pub mod listener;

pub mod connection;

pub mod drain;

pub mod mirrored;

pub mod worker;

pub mod chance;

mod lock;

pub mod upstream;

pub mod link;

pub mod splice;

pub mod wire;

pub mod memory;

pub mod tls;

pub mod http;

pub mod telemetry;

pub mod control;

pub mod identity;

pub mod settings;

pub mod app;

pub mod admin;

pub mod cli;

pub mod demo;
