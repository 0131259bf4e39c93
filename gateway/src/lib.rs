//! Sockets, TLS, time: the path of a request.

pub mod tls;
