//! Whole gateways in this process, over real sockets: what a client sees, and what an endpoint.

mod corpus;
mod http1;
mod link;
mod mirrored;
