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
/// Bytes that a slow client takes at once, half a window: the system tells of room for as much at
/// once, so that smaller sips would change nothing but what the load itself takes.
const SIP: usize = 32 * 1024;
/// Between two sips: 8 KB a second. Within as long all clients begin to read.
const SIP_EVERY: Duration = Duration::from_secs(4);

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
    let mut buffer = vec![0; SIP];
    let mut every = interval(SIP_EVERY);
    while stream.read_exact(&mut buffer).await.is_ok() {
        every.tick().await;
    }
}

/// Clients that have nothing to do with each other do not read in step.
pub(crate) async fn out_of_step(number: usize) {
    let millis = number.wrapping_mul(7_919) as u128 % SIP_EVERY.as_millis();
    sleep(Duration::from_millis(u64::try_from(millis).unwrap_or_default())).await;
}

/// Waits as long as a slow client does between two sips.
pub(crate) async fn pause() {
    sleep(SIP_EVERY).await;
}
