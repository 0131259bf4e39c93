//! The table of messages, fed to the codec whole, byte by byte and cut at every place.
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::super::h1;

#[path = "../../../../tests/support/relay.rs"]
#[expect(unreachable_pub, reason = "shared with the fuzz targets")]
mod relay;
#[path = "../../../../tests/support/corpus.rs"]
#[expect(unreachable_pub, reason = "shared with the tests of the whole proxy")]
mod table;

use relay::{Outcome, Pieces, answers, joined, requests};
use table::{Case, End};

fn run(case: &Case, pieces: Pieces) -> Outcome {
    let outcome = match case.asker {
        None => requests(pieces).now_or_never(),
        Some(asker) => answers(asker, pieces).now_or_never(),
    };
    outcome.expect("a peer that never waits")
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
        if (&outcome.forwarded, outcome.end) != (&case.forwarded, case.end) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (got, want) = (text(&outcome.forwarded), text(&case.forwarded));
            wrong.push((case.name, outcome.end, got, case.end, want));
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

/// A request as a server sees it.
type Seen = (String, String, Vec<u8>);

/// The whole requests that hyper finds in these bytes.
async fn seen_by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let (mut client, server) = tokio::io::duplex(bytes.len() + 64 * 1024);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let sender = sender.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            sender.send((head.method.to_string(), head.uri.to_string(), body)).unwrap();
            Ok::<_, hyper::Error>(hyper::Response::new(Empty::<Bytes>::new()))
        }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(server), service)
        .await;
    drop(serving);
    let mut all = Vec::new();
    while let Ok(one) = seen.try_recv() {
        all.push(one);
    }
    all
}

/// The whole requests that we find in them.
async fn seen_by_us(bytes: &[u8]) -> Vec<Seen> {
    let mut reader = h1::Reader::new(Pieces::new([bytes]), h1::Waits::default());
    let mut all = Vec::new();
    while let Ok(Some(head)) = reader.read_request().await {
        let mut whole = Vec::new();
        loop {
            match reader.read_body().await {
                Ok(h1::BodyEvent::Data(data)) => whole.extend_from_slice(data),
                Ok(h1::BodyEvent::Last(data)) => {
                    whole.extend_from_slice(data);
                    break;
                }
                Ok(h1::BodyEvent::End(_)) => break,
                Err(_) => return all,
            }
        }
        all.push((head.method().to_owned(), head.target().to_owned(), whole));
    }
    all
}

/// Lets hyper read what we forward; both see the same requests, and none in what was broken off.
fn agree_with_hyper(name: &str, bytes: &[u8]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let outcome = requests(Pieces::new([bytes])).await;
        let ours = seen_by_us(&outcome.forwarded).await;
        assert_eq!(seen_by_hyper(&outcome.forwarded).await, ours, "{name}");
        let broken = [outcome.forwarded, outcome.partial].concat();
        assert_eq!(seen_by_hyper(&broken).await, ours, "{name} broken off");
        ours.len()
    })
}

#[test]
fn hyper_sees_in_what_we_forward_the_requests_that_we_see() {
    let cases = cases();
    let requests = cases.iter().filter(|case| case.asker.is_none());
    let seen: usize = requests.map(|case| agree_with_hyper(&case.name, &case.bytes)).sum();
    assert!(seen > 60, "{seen}");
}

proptest! {
    #[test]
    fn hyper_agrees_on_messages_grafted_onto_each_other(
        first in 0_usize..1000, at in 0.0..1.0, second in 0_usize..1000, from in 0.0..1.0,
    ) {
        let cases: Vec<_> =
            cases().into_iter().filter(|case| case.asker.is_none() && case.bytes.len() < 1024).collect();
        let part = |index: usize, place: f64| {
            let bytes = cases[index % cases.len()].bytes.clone();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in it")]
            let place = (bytes.len() as f64 * place) as usize;
            (bytes, place)
        };
        let ((head, end), (tail, start)) = (part(first, at), part(second, from));
        agree_with_hyper("graft", &[&head[..end], &tail[start..]].concat());
    }
}
