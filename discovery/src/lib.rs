//! Which clusters and endpoints exist.
