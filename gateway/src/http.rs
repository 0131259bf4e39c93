//! One request, the same for both versions of HTTP.
//!
//! ```text
//! server: read a head ─► serve: find the rule ─► attempt: choose, connect ─► forward both ways ─► record
//! ```

pub mod h1;

pub mod h2;

pub mod failure;
pub mod proxy;
pub mod route;
pub mod server;

pub(crate) mod attempt;
pub(crate) mod forward;
pub(crate) mod prepare;
pub(crate) mod record;
pub(crate) mod serve;
pub(crate) mod side;
