//! The command line: one file a verb.

mod client;
pub mod ends;
mod explain;
mod offline;
mod output;
mod run;
#[cfg(test)]
mod samples;
mod status;
mod up;
mod validate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use config::source::directory::OpenError;

/// Exit codes, the same for all verbs.
pub mod exit {
    /// What was asked for is so.
    pub const OK: u8 = 0;
    /// Problems were found.
    pub const PROBLEMS: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The gateway or the API server cannot be reached.
    pub const UNREACHABLE: u8 = 3;
    /// Something broke that should not.
    pub const INTERNAL: u8 = 5;
}

/// Joins Kubernetes clusters at their edges.
#[derive(Debug, Parser)]
#[command(name = "spanway", version, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs two simulated clusters on this machine, without Kubernetes.
    #[command(alias = "demo")]
    Up(up::Arguments),
    /// Runs a gateway, a controller, or both.
    Run(Box<run::Arguments>),
    /// Shows links, exports and certificates of a running process.
    Status(status::Arguments),
    /// Says which rule takes a request, and why the others do not.
    Explain(explain::Arguments),
    /// Says what is wrong with a directory of YAML.
    Validate(validate::Arguments),
    /// Prints the version.
    Version,
    /// Prints a completion script for a shell.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Parses, runs, and says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Up(arguments) => up::run(arguments),
        Verb::Run(arguments) => run::run(*arguments),
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Validate(arguments) => validate::run(&arguments),
        Verb::Version => version(),
        Verb::Completion { shell } => completion(shell),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The chain of causes stands in one line: what happened, where, and why.
            eprintln!("spanway: {error:#}");
            ExitCode::from(if error.is::<OpenError>() { exit::USAGE } else { exit::INTERNAL })
        }
    }
}

fn version() -> anyhow::Result<u8> {
    output::print(concat!("spanway ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(exit::OK)
}

fn completion(shell: clap_complete::Shell) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "spanway", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}

/// Runs a short question to its end.
fn block_on<F: Future>(question: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(question))
}

/// Logs of the program itself go to standard error; `SPANWAY_LOG` chooses, as `info` or
/// `gateway=debug`.
fn start_logging(default: &str, json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("SPANWAY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json { log.json().try_init() } else { log.try_init() };
    debug_assert!(started.is_ok(), "logging starts once");
}
