//! What the tests share.

pub mod client;
pub mod cluster;
pub mod corpus;
pub mod endpoint;
pub mod http2;
pub mod process;
pub mod wire;
