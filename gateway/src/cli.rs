//! The command line: one file a verb.

mod run;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

/// Parses, runs, and says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Up(arguments) => up::run(arguments),
        Verb::Run(arguments) => run::run(*arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The chain of causes stands in one line: what happened, where, and why.
            eprintln!("spanway: {error:#}");
            ExitCode::from(exit::INTERNAL)
        }
    }
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
