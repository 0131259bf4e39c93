//! Deadlines, limits and the order of reading.
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use std::time::Duration;

use super::*;

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_mins(1);
const PATIENT: Waits = Waits { idle: LONG, head: LONG, body: LONG, write: LONG };

fn pair(waits: Waits) -> (Reader<DuplexStream>, DuplexStream) {
    let (peer, own) = duplex(256 * 1024);
    (Reader::new(own, waits), peer)
}

#[tokio::test]
async fn a_head_that_does_not_come_to_an_end_is_given_up_with_408() {
    let (mut reader, mut peer) = pair(Waits { head: SHORT, ..PATIENT });
    peer.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    let error = reader.read_request().await.unwrap_err();
    assert_eq!((error.request_status(), error.label()), (Some(408), "timed_out"));
}

#[tokio::test]
async fn a_head_that_drips_is_given_up_although_every_read_succeeds() {
    let (mut reader, mut peer) = pair(Waits { head: SHORT, ..PATIENT });
    let drip = async {
        while peer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        result = reader.read_request() => assert!(matches!(result, Err(ReadError::TimedOut))),
        () = drip => unreachable!("the peer writes without end"),
    }
}

#[tokio::test]
async fn a_client_that_stays_idle_too_long_or_ends_is_no_error() {
    let (mut reader, peer) = pair(Waits { idle: SHORT, ..PATIENT });
    assert!(matches!(reader.read_request().await, Ok(None)));
    drop(peer);
    assert!(matches!(reader.read_request().await, Ok(None)));
}

#[tokio::test]
async fn a_body_that_pauses_too_long_is_given_up() {
    let (mut reader, mut peer) = pair(Waits { body: SHORT, ..PATIENT });
    peer.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na").await.unwrap();
    reader.read_request().await.unwrap().unwrap();
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::Data(b"a"))));
    assert!(matches!(reader.read_body().await, Err(ReadError::TimedOut)));
}

#[tokio::test]
async fn no_head_is_read_where_a_body_still_stands() {
    let (mut reader, mut peer) = pair(PATIENT);
    let bytes = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    peer.write_all(bytes).await.unwrap();
    reader.read_request().await.unwrap().unwrap();
    assert!(matches!(reader.read_request().await, Err(ReadError::Unread)));
    assert!(reader.has_buffered() && !reader.is_done());
    assert!(matches!(reader.read_request().await, Err(ReadError::Unread)));
}

#[tokio::test]
async fn a_small_rest_is_drained_and_a_large_one_is_not() {
    for (length, drained) in [(100, true), (2 * limits::DRAIN_BYTES, false)] {
        let (mut reader, mut peer) = pair(Waits { body: SHORT, ..PATIENT });
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        peer.write_all(head.as_bytes()).await.unwrap();
        peer.write_all(&vec![0; usize::try_from(length).unwrap()]).await.unwrap();
        reader.read_request().await.unwrap().unwrap();
        assert_eq!(reader.drain().await, drained, "{length}");
        assert_eq!(reader.is_done(), drained);
    }
}

#[tokio::test]
async fn a_waiting_peer_that_stirs_is_noticed() {
    let (mut reader, mut peer) = pair(PATIENT);
    assert!(!reader.has_stirred(|_| false) && reader.has_stirred(|_| true));
    peer.write_all(b"x").await.unwrap();
    assert_eq!(reader.stirs().await, Stir::Sent);
    assert!(reader.has_stirred(|_| false), "it is here already");
    let (mut reader, peer) = pair(PATIENT);
    drop(peer);
    assert_eq!(reader.stirs().await, Stir::Ended);
}

#[tokio::test]
async fn an_answer_that_never_begins_is_told_from_one_that_is_cut() {
    for (bytes, closed) in
        [(b"".as_slice(), true), (b"HTTP/1.1 2", false), (b"HTTP/1.1 103 x\r\n\r\n", false)]
    {
        let (mut reader, mut peer) = pair(PATIENT);
        peer.write_all(bytes).await.unwrap();
        drop(peer);
        let error = loop {
            if let Err(error) = reader.read_response(Asked::default()).await {
                break error;
            }
        };
        assert_eq!(matches!(error, ReadError::Closed), closed, "{error}");
    }
}

#[tokio::test]
async fn reading_goes_on_after_a_read_was_dropped() {
    let (mut reader, mut peer) = pair(PATIENT);
    peer.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2")
        .await
        .unwrap();
    reader.read_request().await.unwrap().unwrap();
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::Data(b"a"))));
    {
        let waiting = reader.read_body();
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
    }
    peer.write_all(b"\r\nbc\r\n0\r\n\r\n").await.unwrap();
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::Data(b"bc"))));
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::End(_))));
}

#[tokio::test]
async fn a_body_of_known_length_ends_with_its_last_bytes() {
    let (mut reader, mut peer) = pair(PATIENT);
    peer.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na").await.unwrap();
    reader.read_request().await.unwrap().unwrap();
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::Data(b"a"))));
    assert!(!reader.is_done());
    peer.write_all(b"bcGET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(matches!(reader.read_body().await, Ok(BodyEvent::Last(b"bc"))));
    assert!(reader.is_done());
    assert!(reader.read_request().await.unwrap().is_some(), "the next one stands behind it");
}
