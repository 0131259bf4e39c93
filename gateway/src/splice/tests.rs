//! Copies over loopback connections.

use std::pin::{Pin, pin};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::buffer::Buffer;
use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

#[tokio::test]
async fn one_side_may_end_while_the_other_goes_on() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let peers = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = Vec::new();
        endpoint.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        endpoint.write_all(b"answer").await.unwrap();
        endpoint.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    };
    let (done, ()) =
        tokio::join!(splice(client_end, endpoint_end, Splice::default(), &copied), peers);
    done.unwrap();
    assert_eq!((copied.up(), copied.down()), (8, 6));
}

#[tokio::test]
async fn a_reset_of_the_endpoint_never_looks_like_an_end() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let peers = async {
        endpoint.write_all(b"half of an ans").await.unwrap();
        let mut half = [0; 14];
        client.read_exact(&mut half).await.unwrap();
        endpoint.abort();
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    };
    let (done, ()) =
        tokio::join!(splice(client_end, endpoint_end, Splice::default(), &copied), peers);
    assert!(matches!(done, Err(Broken::Endpoint(_))), "{done:?}");
}

#[tokio::test]
async fn a_copy_that_is_given_up_aborts_both_sides() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let copy = splice(client_end, endpoint_end, Splice::default(), &copied);
    let given_up = async {
        client.write_all(b"x").await.unwrap();
        endpoint.read_exact(&mut [0]).await.unwrap();
    };
    tokio::select! {
        _ = copy => panic!("neither side has ended"),
        () = given_up => {}
    }
    assert!(client.read_to_end(&mut Vec::new()).await.is_err());
    assert!(endpoint.read_to_end(&mut Vec::new()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_watched_over_once_a_copy_goes_on() {
    let (_client, client_end) = pair().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dialled = tcp::dial_briefly(address, Duration::from_secs(10)).await.unwrap();
    let (_endpoint, _) = listener.accept().await.unwrap();
    let same = SockRef::from(&dialled).try_clone().unwrap();
    let copied = Copied::default();
    let mut copy = pin!(splice(client_end, dialled, Splice::default(), &copied));
    assert!(tokio::time::timeout(WATCHED_AFTER / 2, &mut copy).await.is_err());
    assert!(!same.keepalive().unwrap(), "before, it costs more than it brings");
    assert!(tokio::time::timeout(WATCHED_AFTER, &mut copy).await.is_err());
    assert!(same.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    assert_eq!(same.tcp_user_timeout().unwrap(), Some(tcp::USER_TIMEOUT));
}

/// Far more than the buffers of two connections hold.
const MUCH: usize = 16 * 1024 * 1024;

fn much() -> Vec<u8> {
    (0..=250).cycle().take(MUCH).collect()
}

#[tokio::test]
async fn much_goes_through_a_pipe_and_arrives_whole() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let all = much();
    let send = async {
        endpoint.write_all(&all).await.unwrap();
        endpoint.shutdown().await.unwrap();
    };
    let receive = async {
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert!(got == all, "{} bytes, not those that were sent", got.len());
        client.shutdown().await.unwrap();
    };
    let copy = splice(client_end, endpoint_end, Splice::default(), &copied);
    let (done, (), ()) = tokio::join!(copy, send, receive);
    done.unwrap();
    assert_eq!((copied.up(), copied.down()), (0, MUCH as u64));
    assert!(pipe::spare() > 0, "no pipe was used");
}

#[tokio::test]
async fn a_reset_behind_much_never_looks_like_an_end() {
    let (mut client, client_end) = pair().await;
    let (endpoint_end, mut endpoint) = pair().await;
    let copied = Copied::default();
    let all = much();
    let peers = async {
        let mut got = vec![0; MUCH];
        let (written, read) = tokio::join!(endpoint.write_all(&all), client.read_exact(&mut got));
        written.unwrap();
        read.unwrap();
        endpoint.abort();
        let error = client.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    };
    let copy = splice(client_end, endpoint_end, Splice::default(), &copied);
    let (done, ()) = tokio::join!(copy, peers);
    assert!(matches!(done, Err(Broken::Endpoint(_))), "{done:?}");
}

#[tokio::test]
async fn a_pipe_that_holds_bytes_is_never_used_again() {
    let (mut near, far) = pair().await;
    near.write_all(b"of one connection").await.unwrap();
    let mut pipe = pipe::Pipe::take().unwrap();
    assert_eq!(poll_fn(|cx| pipe.poll_fill(cx, &far)).await.unwrap(), 17);
    drop(pipe);
    assert_eq!(pipe::spare(), 0);
}

#[test]
fn there_are_no_more_pipes_than_the_limit() {
    let _one = pipe::Counted::within(usize::MAX).unwrap();
    assert!(pipe::Counted::within(1).is_none());
}

/// Gives some bytes, then an error, and then an end: a socket tells an error once.
struct Breaks(u8);

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0 += 1;
        match self.0 {
            1 => buf.put_slice(b"bytes"),
            2 => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_error_behind_bytes_is_told_when_they_are_written() {
    let (mut buffer, mut source, mut sink) = (Buffer::default(), Breaks(0), Vec::new());
    let copied = AtomicU64::default();
    assert_eq!(poll_fn(|cx| buffer.poll_fill(cx, &mut source)).await.unwrap(), 5);
    poll_fn(|cx| buffer.poll_empty(cx, &mut sink, &copied)).await.unwrap();
    assert_eq!(sink, b"bytes");
    let error = poll_fn(|cx| buffer.poll_fill(cx, &mut source)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
