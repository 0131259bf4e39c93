//! What is framed is read back, however it arrives, and nothing makes the decoder stumble.
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Block, Body};
use super::*;

/// A body, its trailers, and what is left over.
type Read = (Vec<u8>, Block, Vec<u8>);

/// Feeds `bytes` in pieces of `size`.
fn decode(body: Body, bytes: &[u8], size: usize) -> Option<Read> {
    let mut decoder = Decoder::new(body);
    let mut pieces = bytes.chunks(size);
    let (mut input, mut data) = (Vec::new(), Vec::new());
    loop {
        match decoder.step(&input).ok()? {
            Step::Data(range) => {
                data.extend_from_slice(&input[range.clone()]);
                input.drain(..range.end);
            }
            Step::More(taken) => {
                input.drain(..taken);
                input.extend_from_slice(pieces.next()?);
            }
            Step::End(taken) => {
                input.drain(..taken);
                input.extend(pieces.flatten());
                return Some((data, decoder.take_trailers(), input));
            }
        }
    }
}

fn encode(parts: &[Vec<u8>], trailers: &Block) -> Vec<u8> {
    let mut encoder = Encoder::Chunked;
    let mut out = Vec::new();
    for part in parts {
        encoder.before(part, &mut out).unwrap();
        out.extend_from_slice(part);
        out.extend_from_slice(encoder.after(part));
    }
    encoder.end(Some(trailers), &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn chunks_that_are_written_are_read_back(
        parts in vec(vec(any::<u8>(), 0..300), 0..8),
        value in "[!-~]{0,20}",
        size in 1_usize..64,
        surplus in vec(any::<u8>(), 0..9),
    ) {
        let trailers = Block::trailers([("x-sum", value.as_bytes())]).unwrap();
        let bytes = [encode(&parts, &trailers), surplus.clone()].concat();
        let (data, trailers, left) = decode(Body::Chunked, &bytes, size).unwrap();
        prop_assert_eq!(data, parts.concat());
        prop_assert_eq!(trailers.header("x-sum"), Some(value.as_bytes()));
        prop_assert_eq!(left, surplus);
    }

    #[test]
    fn a_length_takes_exactly_so_many_bytes(bytes in vec(any::<u8>(), 1..300), size in 1_usize..64) {
        let length = bytes.len() / 2 + 1;
        let (data, _, left) = decode(Body::Length(length as u64), &bytes, size).unwrap();
        prop_assert_eq!(data.as_slice(), &bytes[..length]);
        prop_assert_eq!(left.as_slice(), &bytes[length..]);
    }

    #[test]
    fn any_bytes_give_the_same_verdict_in_any_pieces(bytes in "[0-3;a\"=\r\nX: ]{0,40}", size in 1_usize..9) {
        let whole = decode(Body::Chunked, bytes.as_bytes(), usize::MAX);
        let cut = decode(Body::Chunked, bytes.as_bytes(), size);
        let plain = |read: Option<Read>| read.map(|(data, block, left)| (data, block.bytes, left));
        prop_assert_eq!(plain(whole), plain(cut));
    }
}

#[test]
fn more_or_fewer_bytes_than_announced_are_an_error() {
    let mut out = Vec::new();
    assert_eq!(Encoder::Length(2).before(b"abc", &mut out), Err(LengthBroken));
    assert_eq!(Encoder::Length(2).end(None, &mut out), Err(LengthBroken));
    let mut exact = Encoder::Length(2);
    exact.before(b"ab", &mut out).unwrap();
    assert_eq!(exact.end(None, &mut out), Ok(()));
}

#[test]
fn the_end_of_a_connection_ends_only_what_lasts_until_then() {
    let mut until_close = Decoder::new(Body::UntilClose);
    assert!(!until_close.is_done() && until_close.close());
    assert!(!Decoder::new(Body::Chunked).close());
    assert!(!Decoder::new(Body::Length(1)).close());
    assert!(Decoder::new(Body::None).close());
}

#[test]
fn trailers_of_framing_routing_and_identity_are_left_out() {
    let names = [
        "content-length",
        "host",
        "authorization",
        "x-forwarded-for",
        "x-spanway-caller",
        "set-cookie",
        "te",
    ];
    let block = Block::trailers(names.iter().map(|name| (*name, b"x".as_slice()))).unwrap();
    assert!(block.is_empty());
    let kept = Block::trailers([("grpc-status", b"0".as_slice()), ("Digest", b"y")]).unwrap();
    assert_eq!(kept.fields().count(), 2);
    assert!(Block::trailers([("x", b"a\r\nb".as_slice())]).is_err());
}
