//! The steps of a request that are ours alone: `cargo bench -p spanway`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so and ends")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use discovery::endpoint::{Endpoint, EndpointId, EndpointSet, Reach};
use divan::{Bencher, black_box};
use futures::FutureExt;
use gateway::http::h1::{Reader, Waits};
use gateway::upstream::choose;
use gateway::worker::Worker;
use tokio::io::{AsyncRead, ReadBuf};

fn main() {
    // Deadlines need a runtime, though none of them is ever waited for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    divan::main();
}

/// What a client of an API sends.
const SMALL: &str = "GET /orders/17 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: client/1.0\r\nAccept: */*\r\n\r\n";
/// What a browser sends: 700 bytes of headers.
const BROWSER: &str = "GET /orders/17?view=full HTTP/1.1\r\nHost: shop.example.com\r\nConnection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nReferer: https://shop.example.com/orders\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=6f1d0f0e5b7c4c2f9f5c7f1b9f1c2d3e; theme=dark\r\n\r\n";

/// A client that sends the same request for ever, each in one piece.
struct Client(&'static str);

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        into.put_slice(self.0.as_bytes());
        Poll::Ready(Ok(()))
    }
}

/// Reads, scans and checks a head.
#[divan::bench(args = [("small", SMALL), ("browser", BROWSER)])]
fn take_a_head(bencher: Bencher<'_, '_>, (_, request): (&str, &'static str)) {
    let mut reader = Reader::new(Client(request), Waits::default());
    bencher.bench_local(|| reader.read_request().now_or_never().unwrap().unwrap().unwrap());
}

/// Chooses the better of two endpoints and lets it go again.
#[divan::bench(args = [2, 10, 1_000])]
fn choose_an_endpoint(bencher: Bencher<'_, '_>, endpoints: u16) {
    let endpoint = |number| {
        let reach = Reach::Direct(([192, 0, 2, 1], number).into());
        Arc::new(Endpoint { id: EndpointId("e".into()), reach, zone: None })
    };
    let endpoints = (0..endpoints).map(endpoint).collect();
    let set = Arc::new(EndpointSet { endpoints, ..EndpointSet::default() });
    let worker = Worker::default();
    bencher.bench_local(|| choose(&worker, black_box(&set), &[], Instant::now()).unwrap());
}
