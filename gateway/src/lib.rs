//! Sockets, TLS, time: the path of a request.

pub mod listener;
pub mod tls;
