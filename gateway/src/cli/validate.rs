//! `spanway validate`: what is wrong with a directory of YAML.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::model::identity::TrustDomain;
use config::model::{Kind, Name, ObjectRef};
use config::validate::problems;
use discovery::link::{Own, links};
use serde::Serialize;

use super::exit;
use super::offline::{self, Offline};
use super::output::{self, Format};

/// Flags of `spanway validate`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory.
    #[arg(short = 'f', long = "dir", value_name = "DIR")]
    dir: PathBuf,
    /// The namespace that Spanway runs in.
    #[arg(long, env = "SPANWAY_NAMESPACE", default_value = "spanway-system")]
    namespace: String,
    /// The name of this cluster, which no link may name.
    #[arg(long, env = "SPANWAY_CLUSTER", default_value = "")]
    cluster: String,
    /// The trust domain of this cluster, which no link may have.
    #[arg(long, env = "SPANWAY_TRUST_DOMAIN", value_parser = trust_domain)]
    trust_domain: Option<TrustDomain>,
    /// How the problems are printed.
    #[arg(short = 'o', long = "output", value_enum, default_value_t)]
    output: Format,
}

fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    text.parse().map_err(|error: config::model::identity::InvalidTrustDomain| error.to_string())
}

/// A trust domain that nobody has (RFC 2606): without `--trust-domain` no link is taken for ours.
const NOBODY: &str = "unnamed.invalid";

/// Something that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    /// The file.
    file: String,
    /// The line, from 1; 0 where it concerns the file as a whole.
    line: u32,
    /// The object, where that much could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The field; empty where it concerns the object as a whole.
    field: String,
    /// The reason, as it stands in a condition.
    reason: String,
    /// A sentence.
    message: String,
}

/// Prints what is wrong with the directory.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let found = findings(arguments)?;
    output::print(&match arguments.output {
        Format::Text => text(&found),
        Format::Json => output::json(&found)?,
    })?;
    Ok(if found.is_empty() { exit::OK } else { exit::PROBLEMS })
}

fn findings(arguments: &Arguments) -> anyhow::Result<BTreeSet<Finding>> {
    let read = offline::read(&arguments.dir, &arguments.namespace)?;
    let nobody = NOBODY.parse()?;
    let trust_domain = arguments.trust_domain.as_ref().unwrap_or(&nobody);
    let own = Own { cluster: &arguments.cluster, trust_domain };
    let files = &read.contents.problems;
    let mut found: BTreeSet<_> = files.iter().map(of_file).collect();
    // Of what cannot be read the files say more than the compile.
    let is_told =
        |object: &ObjectRef| files.iter().any(|problem| problem.object.as_ref() == Some(object));
    for problem in problems(&read.contents.resources, &read.compiled) {
        if !is_told(&problem.object) {
            let said = (problem.reason, problem.message);
            found.insert(at(&read, &problem.object, &problem.field, said));
        }
    }
    for (object, said) in rejected(&read, &arguments.namespace, own) {
        found.insert(at(&read, &object, "spec", said));
    }
    Ok(found)
}

/// What is said of an object: a reason and a sentence.
type Said = (String, String);

/// Links and exports that would not be used.
fn rejected(read: &Offline, namespace: &str, own: Own<'_>) -> Vec<(ObjectRef, Said)> {
    let resources = &read.contents.resources;
    let bundle = |wanted: &config::api::cluster_link::BundleRef| {
        let map = resources.config_maps.get(&Name::new(namespace, &wanted.name))?;
        map.data.get(wanted.key()).map(Arc::from)
    };
    let (_, of_links) = links(&resources.cluster_links.valid, own, &bundle);
    let of_links =
        of_links.into_iter().map(|one| (one.object, (one.reason.label().to_owned(), one.message)));
    let of_exports = read.exports.rejections.iter().map(|(name, one)| {
        let object = ObjectRef::new(Kind::ServiceExport, name.clone());
        (object, (one.reason.label().to_owned(), one.message.clone()))
    });
    of_links.chain(of_exports).collect()
}

fn at(read: &Offline, object: &ObjectRef, field: &str, (reason, message): Said) -> Finding {
    let (file, line) = read.contents.place(object, field).unwrap_or_else(|| (Path::new(""), 0));
    Finding {
        file: file.display().to_string(),
        line,
        object: Some(object.to_string()),
        field: field.to_owned(),
        reason,
        message,
    }
}

fn of_file(problem: &config::source::FileProblem) -> Finding {
    Finding {
        file: problem.file.display().to_string(),
        line: problem.line,
        object: problem.object.as_ref().map(ToString::to_string),
        field: problem.field.clone(),
        reason: "Unreadable".to_owned(),
        message: problem.message.clone(),
    }
}

fn text(found: &BTreeSet<Finding>) -> String {
    let mut text = String::new();
    for Finding { file, line, object, field, reason, message } in found {
        let object = object.as_deref().unwrap_or("file");
        let colon = if field.is_empty() { "" } else { ": " };
        let written = writeln!(text, "{file}:{line}: {object}{colon}{field}: {reason}: {message}");
        debug_assert!(written.is_ok(), "writing to a String");
    }
    let count = match found.len() {
        0 => "no problem".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    text + &count + "\n"
}

#[cfg(test)]
mod tests;
