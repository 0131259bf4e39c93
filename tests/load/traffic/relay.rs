//! A relay that keeps every byte for a while: distance between two clusters, in user space.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::ticks;

/// Bytes that are taken in at once.
const READ: usize = 64 * 1024;

/// Where, and how far.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Where it leads to.
    #[arg(long)]
    to: SocketAddr,
    /// Milliseconds that each direction takes.
    #[arg(long)]
    delay: u64,
}

/// Relays until it is ended.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let delay = Duration::from_millis(options.delay);
    let listener = TcpListener::bind(options.listen).await?;
    loop {
        let (near, _) = listener.accept().await?;
        spawn_local(async move {
            let Ok(far) = TcpStream::connect(options.to).await else { return };
            let _set = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            spawn_local(carry(near_in, far_out, delay));
            spawn_local(carry(far_in, near_out, delay));
        });
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (queue, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    spawn_local(async move {
        while let Some((at, bytes)) = due.recv().await {
            let waited = ticks::until(at).await.is_ok();
            if !waited || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The end of a direction is as late as its bytes.
        let _closed = to.shutdown().await;
    });
    let mut buffer = vec![0; READ];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 || queue.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() {
            return;
        }
    }
}
