//! What a connection holds while nothing happens.
use std::future::poll_fn;

use tokio::io::{AsyncWriteExt, duplex};

use super::*;

#[tokio::test]
async fn a_connection_that_waits_holds_no_buffer() {
    let (mut peer, own) = duplex(64);
    let mut input = Input::new(own);
    assert!(futures::poll!(poll_fn(|cx| input.poll_fill(cx))).is_pending());
    assert_eq!(input.buffer.capacity(), 0);
    peer.write_all(b"abc").await.unwrap();
    assert_eq!(poll_fn(|cx| input.poll_fill(cx)).await.unwrap(), 3);
    assert_eq!(input.bytes(), b"abc");
    input.take(2);
    assert!(futures::poll!(poll_fn(|cx| input.poll_fill(cx))).is_pending());
    assert_eq!(input.bytes(), b"c");
    input.take(1);
    assert!(futures::poll!(poll_fn(|cx| input.poll_fill(cx))).is_pending());
    assert_eq!(input.buffer.capacity(), 0);
}

#[tokio::test]
async fn everything_written_leaves_no_buffer() {
    let (_peer, own) = duplex(64);
    let mut output = Output::new(own);
    output.buffer().extend_from_slice(b"abc");
    poll_fn(|cx| output.poll_flush(cx)).await.unwrap();
    assert_eq!((output.len(), output.buffer.capacity()), (0, 0));
}

#[tokio::test]
async fn unread_bytes_have_a_limit() {
    let (mut peer, own) = duplex(2 * limits::INPUT_BYTES);
    let mut input = Input::new(own);
    peer.write_all(&vec![b'a'; 2 * limits::INPUT_BYTES]).await.unwrap();
    while !input.is_full() {
        poll_fn(|cx| input.poll_fill(cx)).await.unwrap();
    }
    assert_eq!(input.bytes().len(), limits::INPUT_BYTES);
}
