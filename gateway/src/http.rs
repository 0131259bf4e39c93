//! One request, the same for both versions of HTTP.

pub mod h1;

pub mod failure;

pub(crate) mod forward;
pub(crate) mod h2;
pub(crate) mod side;
