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

/// Gives these bytes, then an error.
struct Breaks(&'static [u8]);

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(room.remaining().min(self.0.len()));
        if now.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        room.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn where_much_flows_many_pieces_are_read_at_once() {
    let (mut peer, own) = duplex(2 * limits::INPUT_BYTES);
    let mut input = Input::new(own);
    peer.write_all(&vec![b'a'; 2 * limits::BULK_BYTES]).await.unwrap();
    let count = poll_fn(|cx| input.poll_fill_much(cx)).await.unwrap();
    assert_eq!((count, input.bytes().len()), (limits::BULK_BYTES, limits::BULK_BYTES));
    input.take(count);
    let count = poll_fn(|cx| input.poll_fill_much(cx)).await.unwrap();
    input.take(count);
    assert!(futures::poll!(poll_fn(|cx| input.poll_fill_much(cx))).is_pending());
    assert_eq!(input.buffer.capacity(), 0);
}

/// Fills whatever room there is, and notes how much that was.
#[derive(Default)]
struct Rooms(Vec<usize>);

impl AsyncRead for Rooms {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.push(room.remaining());
        room.put_slice(&vec![b'a'; room.remaining()]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn where_much_flows_the_next_read_has_room_for_much_at_once() {
    let mut input = Input::new(Rooms::default());
    for _ in 0..2 {
        let count = poll_fn(|cx| input.poll_fill_much(cx)).await.unwrap();
        assert_eq!(count, limits::BULK_BYTES);
        input.take(count);
    }
    poll_fn(|cx| input.poll_fill(cx)).await.unwrap();
    let (once, much) = (limits::READ_BYTES, limits::BULK_BYTES);
    assert_eq!(input.io().0, [once, much - once, much, once]);
}

#[tokio::test]
async fn what_is_received_lies_behind_the_lead() {
    let mut input = Input::new(Rooms::default());
    poll_fn(|cx| input.poll_fill(cx)).await.unwrap();
    assert_eq!(input.bytes().as_ptr(), input.buffer[LEAD_BYTES..].as_ptr());
    input.take(limits::READ_BYTES);
    for _ in 0..2 {
        let count = poll_fn(|cx| input.poll_fill_much(cx)).await.unwrap();
        assert_eq!(input.bytes().as_ptr(), input.buffer[LEAD_BYTES..].as_ptr());
        input.take(count);
    }
}

#[tokio::test]
async fn an_error_behind_what_was_read_is_told_next() {
    static BYTES: [u8; limits::READ_BYTES + 1] = [b'a'; limits::READ_BYTES + 1];
    let mut input = Input::new(Breaks(&BYTES));
    assert_eq!(poll_fn(|cx| input.poll_fill_much(cx)).await.unwrap(), BYTES.len());
    input.take(BYTES.len());
    let error = poll_fn(|cx| input.poll_fill(cx)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
