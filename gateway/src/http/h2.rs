//! HTTP/2 behind the same head and body as HTTP/1.
//!
//! The sessions are those of the `h2` crate, with pingora-core's hardened server settings. pingora-core's
//! own session types drop the trailers of requests and cannot watch a stream for a reset while an
//! answer is awaited; both are needed here (gRPC streams, early cancellation).

pub(crate) mod client;
pub(crate) mod fields;
pub(crate) mod server;
pub(crate) mod stream;
