//! Two simulated clusters on this machine: the production code from the source on, with a
//! directory of YAML in place of each API server.

mod changes;
mod load;
mod service;
mod tally;
mod world;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::changes::Churn;
use self::load::RuleBook;
use self::tally::{Counts, Tally};
use self::world::World;
use crate::cli::ends::Ends;
use crate::cli::exit;

/// What a run of 20 seconds has to show, scaled to other lengths.
const CONDITIONS_FOR: Duration = Duration::from_secs(20);
const REQUESTS_MIN: u64 = 20_000;
const ROUTE_CHANGES_MIN: u64 = 20;
const ENDPOINT_CHANGES_MIN: u64 = 50;
/// How long the clusters have until everything that carries load is there.
const START_WAIT: Duration = Duration::from_secs(30);

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Ends by itself after so long.
    pub ends_after: Option<Duration>,
    /// One JSON object as the last line of standard output.
    pub json: bool,
    /// Where the YAML is kept.
    pub dir: Option<PathBuf>,
}

/// The last line of standard output.
#[derive(Debug, Serialize)]
struct Shown {
    seconds: f64,
    #[serde(flatten)]
    counts: Counts,
    config_swaps: u64,
    route_changes: u64,
    endpoint_changes: u64,
    endpoint_removals: u64,
    leaf_rotations: u64,
    /// What was not shown; empty for exit code 0.
    missing: Vec<String>,
}

/// Runs until Ctrl-C, or as long as was asked for; gives the exit code. What nobody keeps is written
/// into `scratch`, perhaps still after the end, for as long as the runtime is there.
pub async fn run(options: Options, scratch: &Path, mut ends: Ends) -> anyhow::Result<u8> {
    let root = options.dir.clone().unwrap_or_else(|| scratch.to_owned());
    let world = tokio::select! {
        world = World::start(&root) => world?,
        () = ends.come() => return Ok(exit::OK),
    };
    tokio::select! {
        ready = tokio::time::timeout(START_WAIT, world.ready()) => {
            if ready.is_err() {
                anyhow::bail!("not ready within {START_WAIT:?}: {}", world.missing().join("; "));
            }
        }
        () = ends.come() => return Ok(exit::OK),
    }
    let say = |line: &str| if options.json { eprintln!("{line}") } else { print_line(line) };
    world.introduction().iter().for_each(|line| say(line));
    let end = async {
        match options.ends_after {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    let shown = tokio::select! {
        shown = exercise(&world, &say, end) => shown?,
        () = ends.come() => return Ok(world.end().await),
    };
    let code = if shown.missing.is_empty() { exit::OK } else { exit::PROBLEMS };
    world.end().await;
    if options.json {
        print_line(&serde_json::to_string(&shown)?);
    } else {
        shown.missing.iter().for_each(|missing| say(&format!("missing: {missing}")));
    }
    Ok(code)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print_line(line: &str) {
    println!("{line}");
}

/// Load and changes until `end`, with a line each second.
async fn exercise(
    world: &World,
    say: &impl Fn(&str),
    end: impl Future<Output = ()>,
) -> anyhow::Result<Shown> {
    let tally = Arc::new(Tally::new(world::EAST));
    let book = Arc::new(RuleBook::default());
    let churn = Churn::new(world, Arc::clone(&book));
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for stream in world.streams(&book) {
        clients.spawn(load::run(stream, Arc::clone(&tally), stopped.clone()));
    }
    let began = Instant::now();
    let swaps_before = world.swaps();
    {
        let mut end = std::pin::pin!(end);
        let mut changes = std::pin::pin!(churn.run());
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = &mut end => break,
                failed = &mut changes => return Err(failed),
                _ = second.tick() => say(&progress(&tally.counts(), world.swaps())),
            }
        }
    }
    stop.send_replace(true);
    while clients.join_next().await.is_some() {}
    for (problem, count) in tally.problems() {
        say(&format!("{count} × {problem}"));
    }
    let mut shown = Shown {
        seconds: began.elapsed().as_secs_f64(),
        counts: tally.counts(),
        config_swaps: world.swaps() - swaps_before,
        route_changes: churn.route_changes(),
        endpoint_changes: churn.endpoint_changes(),
        endpoint_removals: churn.endpoint_removals(),
        leaf_rotations: world.rotations(),
        missing: Vec::new(),
    };
    shown.missing = missing(&shown);
    Ok(shown)
}

fn progress(counts: &Counts, swaps: u64) -> String {
    let Counts { requests, failures, cross_cluster_requests, p50_ms, p99_ms, .. } = counts;
    format!(
        "{requests} requests, {failures} failed, {cross_cluster_requests} across; \
         p50 {p50_ms} ms, p99 {p99_ms} ms; {swaps} swaps"
    )
}

/// What a run of this length should have shown and did not.
fn missing(shown: &Shown) -> Vec<String> {
    let share = shown.seconds / CONDITIONS_FOR.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "small counts; a fraction of one is not asked for"
    )]
    // A run ends a moment before or after its length: a percent is not what this is about.
    let scaled = |count: u64| (count as f64 * share * 0.99) as u64;
    let Counts { requests, cross_cluster_requests, requests_with_body, .. } = shown.counts;
    let rotations = u64::from(shown.seconds >= CONDITIONS_FOR.as_secs_f64() * 0.99);
    let wanted = [
        ("requests", requests, scaled(REQUESTS_MIN)),
        ("cross_cluster_requests", cross_cluster_requests, requests / 3),
        ("requests_with_body", requests_with_body, requests / 3),
        ("http1_requests", shown.counts.http1_requests, 1),
        ("http2_requests", shown.counts.http2_requests, 1),
        ("grpc_requests", shown.counts.grpc_requests, 1),
        ("config_swaps", shown.config_swaps, 1),
        ("route_changes", shown.route_changes, scaled(ROUTE_CHANGES_MIN)),
        ("endpoint_changes", shown.endpoint_changes, scaled(ENDPOINT_CHANGES_MIN)),
        ("endpoint_removals", shown.endpoint_removals, 1),
        ("leaf_rotations", shown.leaf_rotations, rotations),
    ];
    let short = wanted.into_iter().filter(|(_, count, least)| count < least);
    let mut missing: Vec<String> =
        short.map(|(name, count, least)| format!("{name} is {count}, not {least}")).collect();
    if shown.counts.failures > 0 {
        missing.push(format!("{} requests failed", shown.counts.failures));
    }
    missing
}
