//! How much a connection holds while it waits.

use super::*;

/// Bytes of an idle connection's own state. Ten thousand of them are to cost a few dozen MB with
/// all that belongs to them.
const IDLE_BYTES_MAX: usize = 1400;

fn size<F>(_serve: impl FnOnce(Arc<Proxy>, HttpConnection, (Wire, Vec<u8>)) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn what_only_a_request_needs_is_not_held_between_two() {
    let bytes = size(serve_http1);
    assert!(bytes <= IDLE_BYTES_MAX, "{bytes} bytes");
}
