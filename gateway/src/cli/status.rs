//! `spanway status`: links, exports and certificates of a running process.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::{self, AskError};
use super::output::{self, Format, columns};
use super::run::duration;
use super::{block_on, exit};
use crate::admin::view::{Problem, Status};

/// How often a process that is waited for is asked: nobody notices less, and it costs nothing.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Flags of `spanway status`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The admin port of a running gateway or controller.
    #[arg(long, env = "SPANWAY_ADMIN_URL", default_value = client::DEFAULT)]
    admin: String,
    /// How the status is printed.
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    output: Format,
    /// Waits so long until it is ready and every link works, such as 30s.
    #[arg(long, value_parser = duration)]
    wait: Option<Duration>,
}

/// Prints how the process is.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let wait = arguments.wait.unwrap_or_default();
    let status = match block_on(wait_for(&arguments.admin, wait))? {
        Ok(status) => status,
        Err(error) => {
            eprintln!("spanway: {error}");
            return Ok(exit::UNREACHABLE);
        }
    };
    output::print(&match arguments.output {
        Format::Text => text(&status),
        Format::Json => output::json(&status)?,
    })?;
    Ok(if status.is_well() { exit::OK } else { exit::PROBLEMS })
}

/// The status once all is well, or as it is when the wait is over.
async fn wait_for(admin: &str, wait: Duration) -> Result<Status, AskError> {
    let deadline = Instant::now() + wait;
    loop {
        let asked = client::ask::<Status>(admin, "/api/v1/status", &[]).await;
        if asked.as_ref().is_ok_and(Status::is_well) || Instant::now() >= deadline {
            return asked;
        }
        sleep(ASK_EVERY).await;
    }
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let written = write(status, &mut text);
    debug_assert!(written.is_ok(), "writing to a String");
    text
}

fn write(status: &Status, out: &mut String) -> std::fmt::Result {
    let Status { cluster, trust_domain, pod, version, role, .. } = status;
    writeln!(out, "Cluster {cluster}, trust domain {trust_domain}")?;
    writeln!(out, "{role} {pod}, version {version}, table {}", status.table_version)?;
    let missing: Vec<_> =
        status.readiness.iter().filter(|one| !one.done).map(|one| one.part.as_str()).collect();
    match (status.ready, status.leaving) {
        (_, true) => writeln!(out, "Leaving")?,
        (true, false) => writeln!(out, "Ready")?,
        (false, false) => writeln!(out, "Not ready, not yet: {}", missing.join(", "))?,
    }
    if let Some(age) = status.source.age_seconds {
        writeln!(out, "{} is not heard of since {}", status.source.source, span(age))?;
    }
    section(out, "LINK  CONNECTED  AGE  SERVICES  ENDPOINTS  REFUSED  PROBLEM", &links(status))?;
    section(out, "EXPORT  PORTS  ENDPOINTS  SEEN-BY  PROBLEM", &exports(status))?;
    section(out, "CERTIFICATE  NAME  EXPIRES  IN  PROBLEM", &certificates(status))?;
    for problem in status.source.problems.iter().chain(&status.faults) {
        writeln!(out, "\nproblem: {problem}")?;
    }
    Ok(())
}

fn section(out: &mut String, heads: &str, rows: &[Vec<String>]) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let heads: Vec<_> = heads.split_whitespace().collect();
    write!(out, "\n{}", columns(&heads, rows))
}

fn links(status: &Status) -> Vec<Vec<String>> {
    let row = |link: &crate::admin::view::Link| {
        vec![
            link.name.clone(),
            if link.connected { "yes" } else { "no" }.to_owned(),
            link.age_seconds.map_or_else(|| "never".to_owned(), span),
            link.services.to_string(),
            link.endpoints.to_string(),
            link.refused.values().sum::<u64>().to_string(),
            said(link.problem.as_ref()),
        ]
    };
    status.links.iter().map(row).collect()
}

fn exports(status: &Status) -> Vec<Vec<String>> {
    let row = |export: &crate::admin::view::Export| {
        vec![
            export.service.clone(),
            export.ports.join(","),
            export.endpoints.to_string(),
            export.links.join(","),
            said(export.problem.as_ref()),
        ]
    };
    status.exports.iter().map(row).collect()
}

fn certificates(status: &Status) -> Vec<Vec<String>> {
    let row = |one: &crate::admin::view::Certificate| {
        let left = one.expires_in_seconds.map_or_else(String::new, |left| {
            u64::try_from(left).map_or_else(|_| "over".to_owned(), span)
        });
        vec![
            one.kind.clone(),
            one.name.clone(),
            one.expires.clone().unwrap_or_else(|| "none held".to_owned()),
            left,
            one.problem.clone().unwrap_or_default(),
        ]
    };
    status.certificates.iter().map(row).collect()
}

fn said(problem: Option<&Problem>) -> String {
    problem.map_or_else(String::new, |it| format!("{}: {}", it.reason, it.message))
}

/// `90s`, `25m` or `23h`.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests;
