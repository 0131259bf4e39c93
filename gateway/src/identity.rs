//! The built-in certificate authority: who signs, for whom, and how a gateway stays certified.

pub mod authority;
pub mod issue;
pub mod rotate;
pub mod store;
