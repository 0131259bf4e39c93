//! What gateways and controllers of one cluster say to each other.
//!
//! `generated.rs` is made of `proto/control.proto` by
//! `SPANWAY_BLESS=1 cargo test -p spanway --lib control`.

pub mod client;
pub mod report;
pub mod server;

#[expect(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::allow_attributes,
    clippy::clone_on_ref_ptr,
    missing_docs,
    unused_qualifications,
    reason = "generated"
)]
#[rustfmt::skip]
pub mod generated;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod testing;
