//! Our own TLS transport: streams that pingora's sessions run on, and who is trusted on them.

pub mod credentials;
mod judged;
pub mod link;
pub mod provider;
pub mod server;
pub mod stream;
pub mod svid;
pub mod trust;
mod turn;
pub mod verifier;

#[cfg(test)]
pub(crate) mod testing;
