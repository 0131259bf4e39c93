//! The Gateway API v1.7.0, standard channel: generated, never edited.
//!
//! From a checkout of `sigs.k8s.io/gateway-api` at v1.7.0, for each file of `gateway/`:
//!
//! ```sh
//! kopium --schema=disabled --derive PartialEq --api-version v1 \
//!     -f config/crd/standard/gateway.networking.k8s.io_httproutes.yaml > httproute.rs
//! ```
//!
//! with kopium 0.24.1, then its first three lines replaced by the `//!` line, each enum of numbers
//! (a redirect's status code) replaced by `pub type … = i64;`, since kopium writes enums of
//! strings which cannot read a number, and `cargo fmt`. The enums are closed: an object with a
//! value that they do not know must be read on its own, so that it costs only itself.
//!
//! `fields.txt` lists the fields of the same definitions; a test compares the types with it, field
//! for field and value for value. After an update, print it anew:
//!
//! ```sh
//! cargo run --package spanway-config --bin gateway_fields -- config/crd/standard \
//!     > config/src/api/gateway/fields.txt
//! ```

#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::module_inception,
    reason = "generated"
)]
pub mod gateway;
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod gatewayclass;
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod httproute;
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod referencegrant;
#[expect(
    missing_docs,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod tlsroute;

pub use self::gateway::Gateway;
pub use self::gatewayclass::GatewayClass;
pub use self::httproute::HttpRoute;
pub use self::referencegrant::ReferenceGrant;
pub use self::tlsroute::TlsRoute;

#[cfg(test)]
mod tests;
