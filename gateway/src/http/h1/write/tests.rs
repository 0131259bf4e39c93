//! Who counts as fast, and that a head leaves whole or not at all.

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::super::build::RequestBuilder;
use super::*;

const PIECE: usize = 64 * 1024;
/// Or what the system takes for a slow peer would make it fast.
const _: () = assert!(limits::FAST_BYTES > crate::upstream::tcp::NOT_SENT_MAX as usize);

/// A writer within a body without end, and the peer's side, on whose way `room` bytes have place.
fn writer(room: usize) -> (Writer<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(room);
    let mut writer = Writer::new(ours, Waits::default());
    (writer.encoder, writer.open) = (Encoder::UntilClose, true);
    (writer, theirs)
}

/// Writes a piece while the peer begins to read after `pause`.
async fn write(writer: &mut Writer<DuplexStream>, peer: &mut DuplexStream, pause: Duration) {
    let (piece, mut room) = (vec![0; PIECE], vec![0; PIECE]);
    let read = async {
        tokio::time::sleep(pause).await;
        peer.read_exact(&mut room).await
    };
    let (written, read) = tokio::join!(writer.write_data(&piece), read);
    written.unwrap();
    read.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_fast_once_much_has_flowed_without_a_long_wait() {
    let (mut writer, mut peer) = writer(PIECE / 4);
    let short = limits::FAST_WAIT / 2;
    for flowed in (0..limits::FAST_BYTES).step_by(PIECE) {
        assert!(!writer.is_fast(), "after {flowed} bytes");
        write(&mut writer, &mut peer, short).await;
    }
    assert!(writer.is_fast());
    write(&mut writer, &mut peer, 2 * limits::FAST_WAIT).await;
    assert!(!writer.is_fast(), "it was slow once");
}

#[tokio::test]
async fn of_a_head_that_is_refused_nothing_leaves() {
    let (ours, mut theirs) = duplex(4096);
    let mut writer = Writer::new(ours, Waits::default());
    let head = RequestBuilder::new("GET", "/", "h").unwrap().finish(true).unwrap();
    let refused = writer.start_request(&head, Some("no path"), &[]);
    assert!(matches!(refused, Err(WriteError::Malformed(_))));
    writer.start_request(&head, None, &[]).unwrap();
    writer.finish(None).await.unwrap();
    drop(writer);
    let mut got = String::new();
    theirs.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "GET / HTTP/1.1\r\nhost: h\r\n\r\n");
}
