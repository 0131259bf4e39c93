//! Traffic of the comparison: a load that is paced, an upstream that checks what it gets, and the
//! certificates of both. It has to cost less than the proxies that it measures: one thread, one
//! write a request, and answers of a fixed form.

mod bare;
mod bulk;
mod certs;
mod drive;
mod head;
mod hold;
mod http2;
mod lane;
mod relay;
mod request;
mod sample;
mod stalls;
mod tally;
mod ticks;
mod upstream;
mod wire;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
// The system's takes an eighth of the work for a gRPC call.
use mimalloc as _;
use tracing::subscriber::{NoSubscriber, set_global_default};

/// Load and upstream of `tests/load/compare`.
#[derive(Debug, Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes an authority, a server's and a client's certificate into a folder.
    Certs {
        /// The folder.
        dir: PathBuf,
    },
    /// Answers requests and checks their heads.
    Upstream(upstream::Options),
    /// Sends requests at a rate, or as fast as they are answered, and prints one JSON object.
    Client(drive::Options),
    /// Holds connections and says `ready`.
    Hold(hold::Options),
    /// Passes whole messages on and does nothing else: what the system alone takes of a proxy.
    Bare(bare::Options),
    /// Keeps every byte for a while.
    Relay(relay::Options),
    /// Prints for how long it was not run although it should have been.
    Stalls,
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    // While none is set, each span of an HTTP/2 connection is offered to the `log` crate.
    set_global_default(NoSubscriber::default())?;
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    match command.what {
        What::Certs { dir } => certs::write(&dir),
        What::Upstream(options) => local.block_on(&runtime, upstream::run(options)),
        What::Client(options) => local.block_on(&runtime, drive::run(options)),
        What::Hold(options) => local.block_on(&runtime, hold::run(options)),
        What::Bare(options) => bare::run(options),
        What::Relay(options) => local.block_on(&runtime, relay::run(options)),
        What::Stalls => stalls::run(),
    }
}
