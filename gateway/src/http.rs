//! One request, the same for both versions of HTTP.
pub mod h1;
