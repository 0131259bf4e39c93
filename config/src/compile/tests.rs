//! What objects become: the table and the conditions.

mod gateway;
mod incremental;
mod mirrored;
mod route;
mod world;
