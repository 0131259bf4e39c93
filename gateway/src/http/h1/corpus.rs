//! The table of messages, fed to the codec whole, byte by byte and cut at every place.
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use tokio::io::{AsyncRead, ReadBuf};

use super::*;

#[path = "../../../../tests/support/corpus.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of the whole proxy")]
mod table;

use table::{Asker, Case, End};

/// A peer that sends these pieces, one at each read, and ends.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn new<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
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
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    forwarded: Vec<u8>,
    end: End,
}

async fn requests(pieces: Pieces) -> Outcome {
    let mut reader = Reader::new(pieces, Waits::default());
    let mut forwarded = Vec::new();
    let end = loop {
        let head = match reader.read_request().await {
            Ok(None) => break End::Clean,
            Err(ReadError::Truncated) => break End::Cut,
            Err(error) => break End::Refuse(error.request_status().unwrap()),
            Ok(Some(head)) => head,
        };
        let mut writer = Writer::new(Vec::new(), Waits::default());
        writer.start_request(&head, None, &[]).unwrap();
        match copy_body(&mut reader, &mut writer).await {
            Ok(_) => forwarded.extend(writer.into_io()),
            Err(CopyError::Read(ReadError::Truncated)) => break End::Cut,
            Err(CopyError::Read(error)) => break End::Break(error.request_status().unwrap()),
            Err(CopyError::Write(error)) => panic!("{error}"),
        }
    };
    Outcome { forwarded, end }
}

async fn answers(asker: Asker, pieces: Pieces) -> Outcome {
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
                return Outcome { forwarded: interim, end: End::Refuse(502) };
            }
            Err(_) => return Outcome { forwarded: interim, end: End::Cut },
        }
    };
    writer.start_response(&head, to, &[]).unwrap();
    let end = match copy_body(&mut reader, &mut writer).await {
        Ok(_) if !head.keep_alive() || head.status() == 101 => End::Surplus,
        Ok(_) if reader.stirs().await == Stir::Sent => End::Surplus,
        Ok(_) => End::Clean,
        Err(CopyError::Read(ReadError::Malformed(_))) => {
            return Outcome { forwarded: interim, end: End::Break(502) };
        }
        Err(_) => return Outcome { forwarded: interim, end: End::Cut },
    };
    Outcome { forwarded: [interim, writer.into_io()].concat(), end }
}

fn run(case: &Case, pieces: Pieces) -> Outcome {
    let outcome = match case.asker {
        None => requests(pieces).now_or_never(),
        Some(asker) => answers(asker, pieces).now_or_never(),
    };
    outcome.expect("a peer that never waits")
}

/// The same without the places where chunks were cut, which follow the reads.
fn joined(Outcome { forwarded, end }: Outcome) -> Outcome {
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
    Outcome { forwarded: joined, end }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

fn cases() -> Vec<Case> {
    table::read(include_str!("../../../../tests/corpus/h1.txt")).unwrap()
}

#[test]
fn the_table_has_enough_cases_and_no_name_twice() {
    let cases = cases();
    let mut names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases.len());
    assert!(cases.iter().filter(|case| case.asker.is_none()).count() >= 145);
    assert!(cases.iter().filter(|case| case.asker.is_some()).count() >= 40);
}

#[test]
fn every_message_of_the_table_meets_its_verdict() {
    let mut wrong = Vec::new();
    for case in cases() {
        let outcome = run(&case, Pieces::new([case.bytes.as_slice()]));
        let expected = Outcome { forwarded: case.forwarded.clone(), end: case.end };
        if outcome != expected {
            let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.forwarded).into_owned();
            let (got, want) = (text(&outcome), text(&expected));
            wrong.push((case.name, outcome.end, got, expected.end, want));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_verdict_does_not_depend_on_how_the_bytes_arrive() {
    for case in cases() {
        let whole = joined(run(&case, Pieces::new([case.bytes.as_slice()])));
        let singly = joined(run(&case, Pieces::new(case.bytes.chunks(1))));
        assert_eq!(singly, whole, "{} byte by byte", case.name);
        let step = if case.bytes.len() < 1024 { 1 } else { case.bytes.len() / 61 };
        for cut in (1..case.bytes.len()).step_by(step) {
            let (first, second) = case.bytes.split_at(cut);
            let outcome = joined(run(&case, Pieces::new([first, second])));
            assert_eq!(outcome, whole, "{} cut at {cut}", case.name);
        }
    }
}

#[test]
fn what_is_forwarded_is_forwarded_unchanged_by_the_next_of_our_kind() {
    for case in cases().into_iter().filter(|case| case.asker.is_none()) {
        let once = run(&case, Pieces::new([case.bytes.as_slice()]));
        let twice = run(&case, Pieces::new([once.forwarded.as_slice()]));
        assert_eq!((twice.forwarded, twice.end), (once.forwarded, End::Clean), "{}", case.name);
    }
}
