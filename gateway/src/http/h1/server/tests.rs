//! How an exchange ends on the server side.
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn an_answer_to_what_could_not_be_read_says_close() {
    let (mut peer, own) = duplex(4096);
    let mut conn = ServerConn::over(own, Waits::default());
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = conn.read_head().await.unwrap_err();
    let head = ResponseHead::local(error.request_status().unwrap(), [], 0).unwrap();
    conn.respond(&head, ReplyTo::unread(), &[], b"").await.unwrap();
    assert!(!conn.is_reusable());
    peer.shutdown().await.unwrap();
    conn.close().await;
    let mut got = String::new();
    peer.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer_before_the_close() {
    let (mut peer, own) = duplex(1024);
    let mut conn = ServerConn::over(own, Waits::default());
    peer.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n").await.unwrap();
    let request = conn.read_head().await.unwrap().unwrap();
    let head = ResponseHead::local(413, [], 3).unwrap();
    conn.respond(&head, request.reply_to().closing(), &[], b"big").await.unwrap();
    let client = async {
        peer.write_all(&vec![0; 100_000]).await.unwrap();
        peer.shutdown().await.unwrap();
        let mut got = String::new();
        peer.read_to_string(&mut got).await.unwrap();
        got
    };
    let ((), got) = tokio::join!(conn.close(), client);
    assert!(got.ends_with("\r\n\r\nbig"), "{got}");
}

#[tokio::test]
async fn the_body_of_an_answer_to_head_is_not_sent() {
    let (mut peer, own) = duplex(4096);
    let mut conn = ServerConn::over(own, Waits::default());
    peer.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let request = conn.read_head().await.unwrap().unwrap();
    let head = ResponseHead::local(200, [], 3).unwrap();
    conn.respond(&head, request.reply_to(), &[], b"abc").await.unwrap();
    assert!(conn.is_reusable());
    drop(conn);
    let mut got = String::new();
    peer.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
}

#[tokio::test]
async fn an_answer_that_is_too_short_cannot_be_finished() {
    let (mut peer, own) = duplex(4096);
    let mut conn = ServerConn::over(own, Waits::default());
    peer.write_all(GET).await.unwrap();
    let request = conn.read_head().await.unwrap().unwrap();
    let head = ResponseHead::local(200, [], 3).unwrap();
    conn.writer.start_response(&head, request.reply_to(), &[]);
    conn.writer.write_data(b"ab").await.unwrap();
    assert!(matches!(conn.writer.finish(None).await, Err(WriteError::Length(_))));
    assert!(!conn.is_reusable());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let (mut peer, own) = duplex(16);
    let waits = Waits { write: std::time::Duration::from_millis(20), ..Waits::default() };
    let mut conn = ServerConn::over(own, waits);
    let (asked, request) = tokio::join!(peer.write_all(GET), conn.read_head());
    asked.unwrap();
    let to = request.unwrap().unwrap().reply_to();
    let head = ResponseHead::local(200, [], 3).unwrap();
    assert!(matches!(conn.respond(&head, to, &[], b"abc").await, Err(WriteError::TimedOut)));
    assert!(!conn.is_reusable() || conn.writer.flush().await.is_err());
}
