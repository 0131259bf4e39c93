//! Calls between clusters: `spanway/1` over TLS 1.3.
//!
//! The near gateway's hello leaves with the end of its handshake; the far gateway connects to the
//! endpoint and answers accepted or refused; then bytes go both ways. No byte of a request is
//! sent before the answer, so every refusal is safe to try elsewhere.

pub mod ahead;
pub mod far;
pub mod hello;
pub mod near;
