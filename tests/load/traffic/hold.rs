//! Connections that are held: idle behind one request, or reading slowly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{interval, sleep};

use super::http2;
use super::lane::from;
use super::request::{Answer, Fields, Requests, answer};
use super::wire::{Tls, Wire, dial_narrow};

/// Connections that are opened at once.
const OPENING: usize = 50;
/// Bytes that a slow client takes each time.
const SIP: usize = 4 * 1024;
/// Times a second that it does: 8 KB in all. The system tells of room for half a window at once, so
/// that smaller ones would change nothing but what the load itself takes.
const SIPS: u64 = 2;

/// The time within which clients begin to read: each takes in half a window in it, 32 KB.
const BEGIN_WITHIN_MILLIS: u64 = 4_000;

/// What held connections do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// Nothing, behind one request.
    Idle,
    /// They read a large body slowly.
    Slow,
    /// The same over HTTP/2, a connection for each.
    SlowHttp2,
}

/// What to hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to.
    #[arg(long)]
    to: SocketAddr,
    /// What they do.
    #[arg(long, value_enum)]
    what: What,
    /// How many.
    #[arg(long)]
    connections: usize,
    /// Certificates for TLS; plain if absent.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The name that is asked for in TLS.
    #[arg(long, default_value = "gw.bench.example")]
    name: String,
}

/// Opens them, says `ready`, and holds them until it is ended.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let tls = options.tls.as_deref().map(|dir| Tls::new(dir, &options.name, "http/1.1"));
    let tls = tls.transpose()?;
    let mut term = signal(SignalKind::terminate())?;
    let mut held = Vec::new();
    let mut opening = JoinSet::new();
    for number in 0..options.connections {
        if opening.len() >= OPENING {
            let opened: anyhow::Result<_> =
                opening.join_next().await.context("one is opened")??;
            held.push(opened?);
        }
        let (to, what, tls) = (options.to, options.what, tls.clone());
        opening.spawn_local(async move { open(number, to, what, tls.as_ref()).await });
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    println!("ready");
    term.recv().await;
    Ok(())
}

/// Opens one; returned where no task of its own keeps it open.
async fn open(
    number: usize,
    to: SocketAddr,
    what: What,
    tls: Option<&Tls>,
) -> anyhow::Result<Option<Wire>> {
    let mut requests = Requests::new(Fields::Program, false, 1);
    let request = requests.next();
    match what {
        What::Idle => {
            let wire = Wire::open(from(number), to, tls).await?;
            let mut head = Vec::new();
            requests.write(request, &mut head);
            wire.send(&head)?;
            let mut got = Vec::new();
            loop {
                wire.receive(&mut got).await?;
                match answer(request, &got, false) {
                    Answer::Partly => {}
                    Answer::Right(_) => return Ok(Some(wire)),
                    Answer::Wrong(reason) => anyhow::bail!(reason),
                }
            }
        }
        What::Slow => {
            let mut stream = dial_narrow(from(number), to).await?;
            stream.write_all(&requests.large(request, false)).await?;
            spawn_local(async move {
                out_of_step(number).await;
                sip(stream).await;
            });
            Ok(None)
        }
        What::SlowHttp2 => {
            http2::sip(number, to, request).await?;
            Ok(None)
        }
    }
}

/// Reads slowly until the body ends; whoever waits for the end is ended before.
async fn sip(mut stream: TcpStream) {
    let mut buffer = [0; SIP];
    let mut every = interval(Duration::from_millis(1000 / SIPS));
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        every.tick().await;
    }
}

/// Clients that have nothing to do with each other do not read in step.
pub(crate) async fn out_of_step(number: usize) {
    let millis =
        u64::try_from(number).unwrap_or_default().wrapping_mul(7_919) % BEGIN_WITHIN_MILLIS;
    sleep(Duration::from_millis(millis)).await;
}

/// Waits as long as one sip takes, and gives its bytes.
pub(crate) async fn pause() -> usize {
    sleep(Duration::from_millis(1000 / SIPS)).await;
    SIP
}
