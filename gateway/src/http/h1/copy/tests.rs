//! Whole exchanges through both sides of the codec, over pipes in memory.
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex};

use super::super::*;
use crate::wire::has_stirred;

type Server = ServerConn<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;
type Client = ClientConn<ReadHalf<DuplexStream>, WriteHalf<DuplexStream>>;

const PIPE: usize = 256 * 1024;

/// A proxy between two pipes, and the far ends of them.
struct World {
    server: Server,
    client: Client,
    user: DuplexStream,
    upstream: DuplexStream,
}

fn world() -> World {
    let waits = Waits { body: Duration::from_millis(100), ..Waits::default() };
    let (user, down) = duplex(PIPE);
    let (up, upstream) = duplex(PIPE);
    World {
        server: ServerConn::over(down, waits),
        client: ClientConn::over(up, waits),
        user,
        upstream,
    }
}

async fn received(stream: &mut DuplexStream) -> String {
    let mut bytes = vec![0; PIPE];
    let count = stream.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

/// Sends one request through and tells what the upstream got.
async fn forward(world: &mut World, request: &[u8]) -> (RequestHead, String) {
    world.user.write_all(request).await.unwrap();
    let head = world.server.read_head().await.unwrap().unwrap();
    world.client.start(&head, None, &[]).unwrap();
    copy_body(&mut world.server.reader, &mut world.client.writer).await.unwrap();
    let got = received(&mut world.upstream).await;
    (head, got)
}

/// Sends the answer back and tells what the user got.
async fn answer(world: &mut World, head: &RequestHead, answer: &[u8]) -> String {
    world.upstream.write_all(answer).await.unwrap();
    let response = world.client.read_head().await.unwrap();
    world.server.writer.start_response(&response, head.reply_to(), &[]);
    copy_body(&mut world.client.reader, &mut world.server.writer).await.unwrap();
    received(&mut world.user).await
}

#[tokio::test]
async fn a_head_and_a_small_body_leave_as_they_came_in_one_write() {
    let mut world = world();
    let request =
        b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nAccept:  */*\r\n\r\nhello";
    let (head, got) = forward(&mut world, request).await;
    assert_eq!(got.as_bytes(), request);
    let got =
        answer(&mut world, &head, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: s\r\n\r\nhi")
            .await;
    assert_eq!(got, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: s\r\n\r\nhi");
    assert!(world.client.is_reusable() && world.server.is_reusable());
    assert!(!world.client.is_stale(has_stirred));
}

#[tokio::test]
async fn chunks_are_made_anew_and_trailers_go_through_without_the_forbidden() {
    let mut world = world();
    let request = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n002\r\nde\r\n0\r\n\
        grpc-status: 0\r\nContent-Length: 9\r\nAuthorization: no\r\n\r\n";
    let (head, got) = forward(&mut world, request).await;
    assert_eq!(
        got,
        "POST / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\ngrpc-status: 0\r\n\r\n"
    );
    let got = answer(
        &mut world,
        &head,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(got, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_leaves_in_chunks() {
    let mut world = world();
    let (head, _) = forward(&mut world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    world.upstream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall").await.unwrap();
    world.upstream.shutdown().await.unwrap();
    let response = world.client.read_head().await.unwrap();
    world.server.writer.start_response(&response, head.reply_to(), &[]);
    copy_body(&mut world.client.reader, &mut world.server.writer).await.unwrap();
    let mut got = received(&mut world.user).await;
    if !got.ends_with("0\r\n\r\n") {
        got += &received(&mut world.user).await;
    }
    assert_eq!(got, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n");
    assert!(!world.client.is_reusable());
}

#[tokio::test]
async fn an_old_client_gets_no_chunks_and_a_close() {
    let mut world = world();
    let (head, got) =
        forward(&mut world, b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").await;
    assert_eq!(got, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let got = answer(
        &mut world,
        &head,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(got, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nz");
    assert!(!world.server.is_reusable());
}

#[tokio::test]
async fn an_old_client_that_asks_keeps_its_connection_behind_a_length() {
    let mut world = world();
    let (head, _) =
        forward(&mut world, b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").await;
    let got = answer(&mut world, &head, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz").await;
    assert_eq!(got, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nconnection: keep-alive\r\n\r\nz");
    assert!(world.server.is_reusable());
}

#[tokio::test]
async fn pipelined_requests_are_read_one_after_the_other() {
    let mut world = world();
    let two = b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET /2 HTTP/1.1\r\nHost: x\r\n\r\n";
    let (head, got) = forward(&mut world, two).await;
    assert_eq!(got, "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na");
    assert!(world.server.reader.has_surplus());
    answer(&mut world, &head, b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let (head, got) = forward(&mut world, b"").await;
    assert_eq!((head.path(), got.as_str()), ("/2", "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"));
}

#[tokio::test]
async fn bytes_behind_an_answer_poison_the_connection() {
    let mut world = world();
    let (head, _) = forward(&mut world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    answer(
        &mut world,
        &head,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nzHTTP/1.1 200 OK\r\n\r\n",
    )
    .await;
    assert!(!world.client.is_reusable());
}

#[tokio::test]
async fn bytes_that_come_while_idle_and_an_end_make_a_connection_stale() {
    for late in [b"HTTP/1.1 200 OK\r\n".as_slice(), b""] {
        let mut world = world();
        let (head, _) = forward(&mut world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        answer(&mut world, &head, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz").await;
        assert!(world.client.is_reusable() && !world.client.is_stale(has_stirred));
        if late.is_empty() {
            world.upstream.shutdown().await.unwrap();
        } else {
            world.upstream.write_all(late).await.unwrap();
        }
        assert!(world.client.is_stale(has_stirred));
    }
}

#[tokio::test]
async fn an_error_within_a_body_never_ends_the_copy() {
    for (rest, error) in [
        (b"zz".as_slice(), "chunk_size"),
        (b"5\r\nabcdefgh", "chunk_end"),
        (b"5\r\nab", "truncated"),
    ] {
        let mut world = world();
        world
            .user
            .write_all(
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            )
            .await
            .unwrap();
        let head = world.server.read_head().await.unwrap().unwrap();
        world.client.start(&head, None, &[]).unwrap();
        world.user.write_all(rest).await.unwrap();
        world.user.shutdown().await.unwrap();
        let failed = copy_body(&mut world.server.reader, &mut world.client.writer).await;
        let Err(CopyError::Read(failed)) = failed else { panic!("{failed:?}") };
        assert_eq!(failed.label(), error);
        assert!(!world.client.is_reusable() && world.client.writer.is_open());
        drop(world.client);
        let mut got = String::new();
        world.upstream.read_to_string(&mut got).await.unwrap();
        assert!(!got.ends_with("0\r\n\r\n"), "{got}");
    }
}

#[tokio::test]
async fn a_body_in_many_pieces_larger_than_every_buffer_goes_through() {
    let World { mut server, mut client, user, upstream } = world();
    let body = vec![b'x'; 3 * PIPE];
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let sent = [head.as_bytes(), &body].concat();
    let (mut user, mut upstream) = (user, upstream);
    let ((), (), got) = tokio::join!(
        async { user.write_all(&sent).await.unwrap() },
        async {
            let head = server.read_head().await.unwrap().unwrap();
            client.start(&head, None, &[]).unwrap();
            let count = copy_body(&mut server.reader, &mut client.writer).await.unwrap();
            assert_eq!(count, body.len() as u64);
            drop(client);
        },
        async {
            let mut got = Vec::new();
            upstream.read_to_end(&mut got).await.unwrap();
            got
        },
    );
    assert_eq!(got, sent);
}

#[tokio::test]
async fn an_upgrade_passes_and_its_bytes_wait_for_the_switch() {
    let mut world = world();
    let request = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\nEARLY";
    let (head, got) = forward(&mut world, request).await;
    assert!(head.is_websocket());
    assert_eq!(
        got,
        "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: k\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nFIRST";
    world.upstream.write_all(switch).await.unwrap();
    let response = world.client.read_head().await.unwrap();
    assert_eq!((response.status(), response.is_interim()), (101, false));
    world.server.writer.start_response(&response, head.reply_to(), &[]);
    world.server.writer.flush().await.unwrap();
    let got = received(&mut world.user).await;
    assert_eq!(
        got,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    assert_eq!(world.server.into_parts().2, b"EARLY");
    assert_eq!(world.client.into_parts().2, b"FIRST");
}

#[tokio::test]
async fn interim_answers_pass_and_an_unasked_continue_does_not() {
    let mut world = world();
    let (head, _) = forward(&mut world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let answers = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    world.upstream.write_all(answers).await.unwrap();
    let hint = world.client.read_head().await.unwrap();
    assert!(hint.is_interim());
    world.server.writer.interim(&hint, head.reply_to()).await.unwrap();
    assert_eq!(received(&mut world.user).await, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_eq!(world.client.read_head().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_an_error() {
    let mut world = world();
    forward(&mut world, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    world.upstream.write_all(&b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await.unwrap();
    let mut count = 0;
    let error = loop {
        match world.client.read_head().await {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((count, error.label()), (limits::INTERIM_HEADS, "too_many_interim"));
}

#[tokio::test]
async fn both_directions_run_at_once() {
    let World { mut server, mut client, mut user, mut upstream } = world();
    user.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let head = server.read_head().await.unwrap().unwrap();
    client.start(&head, None, &[]).unwrap();
    let proxy = async {
        let up = copy_body(&mut server.reader, &mut client.writer);
        let down = async {
            let response = client.reader.read_response(head.asked()).await.unwrap();
            server.writer.start_response(&response, head.reply_to(), &[]);
            copy_body(&mut client.reader, &mut server.writer).await
        };
        let (up, down) = tokio::join!(up, down);
        (up.unwrap(), down.unwrap())
    };
    let talk = async {
        assert!(received(&mut upstream).await.ends_with("\r\n\r\n"));
        upstream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            .await
            .unwrap();
        let mut got = String::new();
        while !got.ends_with("1\r\na\r\n") {
            got += &received(&mut user).await;
        }
        user.write_all(b"1\r\nb\r\n0\r\n\r\n").await.unwrap();
        let mut got = String::new();
        while !got.ends_with("0\r\n\r\n") {
            got += &received(&mut upstream).await;
        }
        upstream.write_all(b"0\r\n\r\n").await.unwrap();
    };
    let (counts, ()) = tokio::join!(proxy, talk);
    assert_eq!(counts, (1, 1));
    assert!(server.is_reusable());
}
