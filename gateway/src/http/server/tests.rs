//! How much a connection holds while it waits.

use tokio::net::TcpStream;

use super::*;
use crate::listener::peek::Replay;
use crate::tls::stream::TlsStream;

/// Bytes of an idle connection's own state. Ten thousand of them are to cost a few dozen MB with
/// all that belongs to them.
const IDLE_BYTES_MAX: usize = 1400;

fn size<S, F>(_serve: impl FnOnce(Arc<Proxy>, HttpConnection, S) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn what_only_a_request_needs_is_not_held_between_two() {
    let plain = size(serve_http1::<Replay<TcpStream>>);
    let tls = size(serve_http1::<TlsStream>);
    assert!(plain <= IDLE_BYTES_MAX && tls <= IDLE_BYTES_MAX, "{plain} and {tls} bytes");
}
