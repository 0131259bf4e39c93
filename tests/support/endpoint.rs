//! Endpoints whose every byte a test decides and sees.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::{QUIET, WAIT, Wire, find};

/// An endpoint that the test plays itself.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Endpoint {
    /// On a free port of loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        Self { listener, address }
    }

    /// The next connection.
    pub async fn accept(&self) -> Wire {
        let accepted = timeout(WAIT, self.listener.accept()).await;
        Wire::new(accepted.expect("a connection in time").expect("a connection").0)
    }

    /// Asserts that nobody connects for a while.
    pub async fn left_alone(&self) {
        let accepted = timeout(QUIET, self.listener.accept()).await;
        assert!(accepted.is_err(), "somebody connected: {accepted:?}");
    }
}

/// An endpoint that answers every HTTP/1 request with its name, and keeps what it was sent.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Echo {
    /// On a free port of loopback.
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (all, count) = (Arc::clone(&seen), Arc::clone(&connections));
        let open = Arc::new(AtomicUsize::new(0));
        let now_open = Arc::clone(&open);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Relaxed);
                all.lock().expect("no test panics in it").push(Vec::new());
                let (all, open) = (Arc::clone(&all), Arc::clone(&now_open));
                open.fetch_add(1, Relaxed);
                tasks.spawn(async move {
                    echo(stream, number, name, all).await;
                    open.fetch_sub(1, Relaxed);
                });
            }
        });
        Self { address, seen, connections, open, task }
    }

    /// What came over each connection so far.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        self.seen.lock().expect("no test panics in it").clone()
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// How many of them are open.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Forgets what came.
    pub fn forget(&self) {
        self.seen.lock().expect("no test panics in it").iter_mut().for_each(Vec::clear);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(
    mut stream: TcpStream,
    number: usize,
    name: &'static str,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let mut unread = Vec::new();
    let mut piece = [0; 4096];
    loop {
        while let Some(length) = whole(&unread) {
            unread.drain(..length);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Connection: {number}\r\n\r\n{name}",
                name.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        let Ok(count @ 1..) = stream.read(&mut piece).await else { return };
        unread.extend_from_slice(&piece[..count]);
        seen.lock().expect("no test panics in it")[number].extend_from_slice(&piece[..count]);
    }
}

/// The length of the request that `bytes` begin with, if it is whole: what a simple server takes
/// for one.
pub fn whole(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        return chunks(&bytes[head..]).map(|length| head + length);
    }
    let length = crate::wire::field(&text, "content-length")
        .map_or(0, |length| length.parse().unwrap_or_else(|_| panic!("a length in {text:?}")));
    (bytes.len() >= head + length).then_some(head + length)
}

/// The length of a chunked body, if it is whole.
fn chunks(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(bytes.get(at..)?, b"\r\n")?;
        let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim().to_owned();
        let size = usize::from_str_radix(&size, 16).expect("the gateway writes chunks");
        at += line + 2;
        if size > 0 {
            at += size + 2;
            continue;
        }
        loop {
            let line = find(bytes.get(at..)?, b"\r\n")?;
            at += line + 2;
            if line == 0 {
                return Some(at);
            }
        }
    }
}
