//! `spanway explain`: which rule takes a request, and why the others do not.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::client::{self, AskError};
use super::output::{self, Format};
use super::{block_on, exit, offline};
use crate::admin::view::{Answer, Choice, Explained, OnPort, Question};

/// How many endpoints of a backend are named in the text; JSON has all.
const ENDPOINTS_SHOWN: usize = 8;

/// Flags of `spanway explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The method, such as GET.
    method: String,
    /// The URL with the port of the listener or Service, such as `http://shop.example.com:8080/cart`.
    url: String,
    /// A header as `name: value`; may stand several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Asks a directory of YAML instead of a running process.
    #[arg(short = 'f', long = "dir", value_name = "DIR", conflicts_with = "admin")]
    dir: Option<PathBuf>,
    /// Only this Gateway or mirrored Service.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    gateway: Option<String>,
    /// The admin port of a running gateway.
    #[arg(long, env = "SPANWAY_ADMIN_URL", default_value = client::DEFAULT)]
    admin: String,
    /// The namespace that Spanway runs in.
    #[arg(long, env = "SPANWAY_NAMESPACE", default_value = "spanway-system")]
    namespace: String,
    /// How the answer is printed.
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    output: Format,
}

/// Prints what happens to the request.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let question = Question {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        headers: arguments.headers.clone(),
        gateway: arguments.gateway.clone(),
    };
    if let Err(error) = question.asked() {
        eprintln!("spanway: {error}");
        return Ok(exit::USAGE);
    }
    let explained = match &arguments.dir {
        Some(directory) => offline(&question, directory, &arguments.namespace)?,
        None => match block_on(running(&question, &arguments.admin))? {
            Ok(explained) => explained,
            Err(error) => {
                eprintln!("spanway: {error}");
                return Ok(exit::UNREACHABLE);
            }
        },
    };
    output::print(&match arguments.output {
        Format::Text => text(&explained),
        Format::Json => output::json(&explained)?,
    })?;
    Ok(if explained.is_answered() { exit::OK } else { exit::PROBLEMS })
}

async fn running(question: &Question, admin: &str) -> Result<Explained, AskError> {
    let mut query = vec![("method", &*question.method), ("url", &*question.url)];
    query.extend(question.headers.iter().map(|header| ("header", &**header)));
    query.extend(question.gateway.iter().map(|gateway| ("gateway", &**gateway)));
    client::ask(admin, "/api/v1/explain", &query).await
}

fn offline(
    question: &Question,
    directory: &std::path::Path,
    namespace: &str,
) -> anyhow::Result<Explained> {
    let read = offline::read(directory, namespace)?;
    let mut explained = question.answer(&read.compiled.table, &read.endpoints)?;
    for port in &mut explained.ports {
        port.container_port = port.container_port.filter(|port| !read.stand_ins.contains(port));
    }
    Ok(explained)
}

fn text(explained: &Explained) -> String {
    let mut text = String::new();
    let written = write(explained, &mut text);
    debug_assert!(written.is_ok(), "writing to a String");
    text
}

fn write(explained: &Explained, out: &mut String) -> std::fmt::Result {
    let Explained { method, url, ports } = explained;
    writeln!(out, "{method} {url}")?;
    if ports.is_empty() {
        writeln!(out, "  nobody listens on that port")?;
    }
    ports.iter().try_for_each(|port| write_port(port, out))
}

fn write_port(port: &OnPort, out: &mut String) -> std::fmt::Result {
    write!(out, "\n{} port {}", port.owner, port.port)?;
    if let Some(container) = port.container_port {
        write!(out, " (container port {container})")?;
    }
    writeln!(out, ": {}", port.serves)?;
    for rule in &port.rules {
        match &rule.why {
            None => writeln!(out, "  ✓ {}: takes it, for host `{}`", rule.rule, rule.host)?,
            Some(why) => writeln!(out, "  - {}: {why}", rule.rule)?,
        }
    }
    match &port.answer {
        Answer::NoRule => writeln!(out, "  404: no rule matches"),
        Answer::Closed => writeln!(out, "  the connection is closed: nobody has the name"),
        Answer::Backends { backends, .. } if backends.is_empty() => {
            writeln!(out, "  500: the rule has no backend")
        }
        Answer::Backends { backends, .. } => {
            backends.iter().try_for_each(|choice| write_choice(choice, out))
        }
    }
}

fn write_choice(choice: &Choice, out: &mut String) -> std::fmt::Result {
    let Choice { backend, chance, problem, endpoints } = choice;
    write!(out, "  {:5.1} %  {backend}", chance * 100.0)?;
    if let Some(problem) = problem {
        write!(out, "{}{problem}", if backend.is_empty() { "" } else { ": " })?;
    }
    writeln!(out)?;
    for endpoint in endpoints.iter().take(ENDPOINTS_SHOWN) {
        writeln!(out, "           {}  {}", endpoint.cluster, endpoint.address)?;
    }
    let more = endpoints.len().saturating_sub(ENDPOINTS_SHOWN);
    if more > 0 {
        writeln!(out, "           and {more} more")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
