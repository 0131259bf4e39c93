//! What size and change cost: 100,000 routes, 100,000 endpoints, and one of each changed.
//!
//! All of it is what a gateway does between its source and its snapshot, on one thread, measured by
//! that thread's CPU time. Only memory and the worker's turn look at more than one thread.

mod clock;
mod endpoints;
mod figure;
mod gateway;
mod objects;
mod routes;
mod worker;

use clap::Parser;

use self::figure::Figure;
// In the place of `malloc`, as in the binary `spanway`: the figures are about what ships.
use mimalloc as _;

/// Prints each figure with its gate and its goal.
#[derive(Debug, Parser)]
struct Options {
    /// One object a line.
    #[arg(long)]
    json: bool,
    /// A small size, to see that it works: no verdict.
    #[arg(long)]
    smoke: bool,
}

/// How large the world is.
#[derive(Clone, Copy, Debug)]
struct Size {
    routes: usize,
    files: usize,
    services: usize,
    endpoints: usize,
    changes: usize,
}

const FULL: Size =
    Size { routes: 100_000, files: 100, services: 10_000, endpoints: 100_000, changes: 200 };
const SMOKE: Size = Size { routes: 1_000, files: 10, services: 100, endpoints: 1_000, changes: 10 };

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    rustix::thread::disable_transparent_huge_pages(true).ok();
    let size = if options.smoke { SMOKE } else { FULL };
    let mut holds = true;
    let mut say = |figure: Figure| {
        holds &= figure.holds() != Some(false);
        println!("{}", if options.json { figure.json() } else { figure.line() });
    };
    // Time stands for those who ask for it: nothing here waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        routes::measure(size, &mut say)?;
        endpoints::measure(size, &mut say)
    })?;
    // A small size is only to end without an error.
    anyhow::ensure!(holds || options.smoke, "a gate does not hold");
    Ok(())
}
