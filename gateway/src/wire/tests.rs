//! Directions apart and together.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::tls::stream::PlainStream;
use crate::tls::testing::tcp_pair;

/// Both kinds of a wire, each with its peer.
async fn wires() -> [(Wire, TcpStream); 2] {
    let (near, far) = tcp_pair().await;
    let (other, peer) = tcp_pair().await;
    [(near.into_wire().0, far), (PlainStream::new(other).into_wire().0, peer)]
}

#[tokio::test]
async fn what_is_split_works_both_ways_and_joins_again() {
    for (wire, mut peer) in wires().await {
        let (mut reader, mut writer) = wire.split();
        writer.write_all(b"ask").await.unwrap();
        peer.read_exact(&mut [0; 3]).await.unwrap();
        peer.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        let mut wire = reader.join(writer).unwrap();
        wire.write_all(b"more").await.unwrap();
        peer.read_exact(&mut [0; 4]).await.unwrap();
    }
}

#[tokio::test]
async fn directions_of_two_connections_do_not_join() {
    let [(one, _one), (other, _other)] = wires().await;
    let [(third, _third), (fourth, _fourth)] = wires().await;
    let ((one, _), (_, third)) = (one.split(), third.split());
    assert!(one.join(third).is_err(), "two of TCP alone");
    let ((other, to_other), (_, fourth)) = (other.split(), fourth.split());
    assert!(other.join(fourth).is_err(), "two with something on it");
    let (third, _) = wires().await.map(|(wire, _)| wire.split()).into_iter().next().unwrap();
    assert!(third.join(to_other).is_err(), "one of each");
}

#[tokio::test]
async fn a_peer_that_sends_or_goes_has_stirred() {
    for (wire, mut peer) in wires().await {
        let (mut reader, _writer) = wire.split();
        assert!(!reader.has_stirred());
        peer.write_all(b"x").await.unwrap();
        while !reader.has_stirred() {
            tokio::task::yield_now().await;
        }
    }
    for (wire, peer) in wires().await {
        let (mut reader, _writer) = wire.split();
        assert!(!reader.has_stirred());
        drop(peer);
        while !reader.has_stirred() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_wire_that_is_broken_off_is_no_end_to_its_peer() {
    for (wire, mut peer) in wires().await {
        let (reader, writer) = wire.split();
        reader.join(writer).unwrap().abort();
        let error = peer.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
