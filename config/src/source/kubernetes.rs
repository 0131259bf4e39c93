//! An API server as the source.
