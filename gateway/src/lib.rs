//! Sockets, TLS, time: the path of a request.
