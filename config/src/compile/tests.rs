//! What objects become: the table and the conditions.

mod gateway;
mod mirrored;
mod route;
mod world;
