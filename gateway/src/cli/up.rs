//! `spanway up`: two simulated clusters on this machine.

use std::path::PathBuf;
use std::time::Duration;

use super::ends::Ends;
use super::run::duration;
use crate::demo::{self, Options};

/// How long files that are being written are waited for at the end.
const WRITES_WAIT: Duration = Duration::from_secs(1);

/// Flags of `spanway up`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ends by itself after so long, such as 20s.
    #[arg(long = "for", value_parser = duration)]
    ends_after: Option<Duration>,
    /// Prints one JSON object as the last line of standard output.
    #[arg(long)]
    json: bool,
    /// Keeps the YAML of both clusters there: edit it and see it take effect.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Runs until Ctrl-C, or as long as was asked for.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    super::start_logging("warn", false);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let options =
        Options { ends_after: arguments.ends_after, json: arguments.json, dir: arguments.dir };
    let ends = {
        let _within = runtime.enter();
        Ends::watch()?
    };
    // Behind the signals, which would leave it otherwise.
    let scratch = tempfile::Builder::new().prefix("spanway-up-").tempdir()?;
    let done = runtime.block_on(demo::run(options, scratch.path(), ends));
    // Sample services and clients are dropped where they stand. A file that is written while the
    // folder goes would stay.
    runtime.shutdown_timeout(WRITES_WAIT);
    drop(scratch);
    done
}
