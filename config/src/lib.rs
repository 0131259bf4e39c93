//! What the operator wrote, compiled into what the gateway runs.

pub mod model;
