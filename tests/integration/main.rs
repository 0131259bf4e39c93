//! Whole gateways in this process, over real sockets: what a client sees, and what an endpoint.

mod http1;
