//! Whole gateways in this process, over real sockets: what a client sees, and what an endpoint.

mod ahead;
mod apart;
mod corpus;
mod drain;
mod http1;
mod http2;
mod killed;
mod link;
mod mirrored;
mod ready;
mod routing;
mod tls;
