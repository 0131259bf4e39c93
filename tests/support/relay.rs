//! A proxy without sockets: what goes on to the other side when a peer sends these bytes.
//!
//! The parent of this module says where the codec (`h1`) and the verdicts (`table`) are.
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::h1::{
    Asked, Body, CopyError, ReadError, Reader, ReplyTo, Stir, Version, Waits, Writer, body,
    copy_body,
};
use super::table::{Asker, End};

/// A peer that sends these pieces, one at each read, and ends.
pub struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    /// A peer that sends these.
    pub fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(pieces.into_iter().filter(|piece| !piece.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else { return Poll::Ready(Ok(())) };
        let rest = piece.split_off(piece.len().min(room.remaining()));
        room.put_slice(&piece);
        if !rest.is_empty() {
            self.0.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

/// What the other side gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whole messages, as they leave.
    pub forwarded: Vec<u8>,
    /// What has left of a message that is broken off.
    pub partial: Vec<u8>,
    /// What then happens.
    pub end: End,
}

/// Sends requests through the codec.
pub async fn requests(pieces: Pieces) -> Outcome {
    let mut reader = Reader::new(pieces, Waits::default());
    let (mut forwarded, mut partial) = (Vec::new(), Vec::new());
    let end = loop {
        let head = match reader.read_request().await {
            Ok(None) => break End::Clean,
            Err(ReadError::Truncated) => break End::Cut,
            Err(error) => break End::Refuse(error.request_status().unwrap()),
            Ok(Some(head)) => head,
        };
        let mut writer = Writer::new(Vec::new(), Waits::default());
        writer.start_request(&head, None, &[]).unwrap();
        let copied = copy_body(&mut reader, &mut writer).await;
        if copied.is_ok() {
            forwarded.extend(writer.into_io());
            continue;
        }
        writer.flush().await.expect("a vector takes everything");
        partial = writer.into_io();
        match copied {
            Err(CopyError::Read(ReadError::Malformed(why))) => break End::Break(why.status()),
            _ => break End::Cut,
        }
    };
    Outcome { forwarded, partial, end }
}

/// Sends the answer to one request through the codec.
pub async fn answers(asker: Asker, pieces: Pieces) -> Outcome {
    let question = Asked {
        head: asker == Asker::Head,
        websocket: asker == Asker::WebSocket,
        expects_continue: false,
    };
    let version = if asker == Asker::Old { Version::Http10 } else { Version::Http11 };
    let to = ReplyTo { version, head: question.head, keep_alive: asker != Asker::Old };
    let mut reader = Reader::new(pieces, Waits::default());
    let mut writer = Writer::new(Vec::new(), Waits::default());
    let mut interim = Vec::new();
    let head = loop {
        match reader.read_response(question).await {
            Ok(head) if head.is_interim() => {
                let mut one = Writer::new(Vec::new(), Waits::default());
                one.interim(&head, to).await.unwrap();
                interim.extend(one.into_io());
            }
            Ok(head) => break head,
            Err(ReadError::Malformed(_)) => {
                return Outcome { forwarded: interim, partial: Vec::new(), end: End::Refuse(502) };
            }
            Err(_) => return Outcome { forwarded: interim, partial: Vec::new(), end: End::Cut },
        }
    };
    writer.start_response(&head, to, &[]);
    let end = match copy_body(&mut reader, &mut writer).await {
        Ok(_) if !head.keep_alive() || head.status() == 101 => End::Surplus,
        Ok(_) if reader.stirs().await == Stir::Sent => End::Surplus,
        Ok(_) => End::Clean,
        Err(CopyError::Read(ReadError::Malformed(_))) => {
            return Outcome { forwarded: interim, partial: Vec::new(), end: End::Break(502) };
        }
        Err(_) => return Outcome { forwarded: interim, partial: Vec::new(), end: End::Cut },
    };
    Outcome { forwarded: [interim, writer.into_io()].concat(), partial: Vec::new(), end }
}

/// The same without the places where chunks were cut, which follow the reads, and without what was broken off.
pub fn joined(Outcome { forwarded, end, .. }: Outcome) -> Outcome {
    let mut joined = Vec::new();
    let mut rest = forwarded.as_slice();
    while let Some(at) = find(rest, b"\r\n\r\n") {
        let (head, body) = rest.split_at(at + 4);
        joined.extend_from_slice(head);
        rest = body;
        if find(head, b"transfer-encoding: chunked").is_none() {
            continue;
        }
        let mut chunks = body::Decoder::new(Body::Chunked);
        loop {
            match chunks.step(rest).unwrap() {
                body::Step::Data(range) => {
                    joined.extend_from_slice(&rest[range.clone()]);
                    rest = &rest[range.end..];
                }
                body::Step::End(taken) => {
                    joined.extend_from_slice(&chunks.take_trailers().bytes);
                    rest = &rest[taken..];
                    break;
                }
                body::Step::More(_) => panic!("chunks do not end"),
            }
        }
    }
    joined.extend_from_slice(rest);
    Outcome { forwarded: joined, partial: Vec::new(), end }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}
