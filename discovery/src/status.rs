//! Conditions of exports, imports and links.

mod link;

use std::collections::BTreeMap;
use std::sync::Arc;

use config::api::mcs::{ImportCluster, ServiceExport, ServiceImport};
use config::model::{Kind, Name, ObjectRef};
use config::status::BIND_FAILED;
use imbl::OrdMap;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Value, json};

use crate::export::ExportRejection;
use crate::merge::{Import, Imports, transport_label};
use crate::plan::{Problem, derived_name, marks};
use crate::slices::Seating;

pub use self::link::{LinkFacts, links};

/// The longest message of a condition: the API server takes 32 KiB, nobody reads as much.
const MESSAGE_LENGTH_MAX: usize = 1_024;

/// The fields of an object's status that are to change.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusPatch {
    /// Whose.
    pub object: ObjectRef,
    /// The fields.
    pub status: Value,
    /// The version that they were made from.
    pub resource_version: Option<String>,
}

/// A condition as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Wish {
    fn new(kind: &'static str, status: bool, reason: &str, message: impl Into<String>) -> Self {
        let status = if status { "True" } else { "False" };
        Self { kind, status, reason: reason.into(), message: message.into() }
    }

    fn unknown(kind: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", ..Self::new(kind, false, reason, message) }
    }
}

/// The conditions with the wishes fulfilled, or `None` if they are already. Those of others stay;
/// the time of one whose status does not change stays.
fn fulfil(
    current: &[Condition],
    wishes: Vec<Wish>,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let mut conditions = current.to_vec();
    for Wish { kind, status, reason, mut message } in wishes {
        message.truncate(message.floor_char_boundary(MESSAGE_LENGTH_MAX));
        let known = conditions.iter_mut().find(|known| known.type_ == kind);
        let since = known.as_ref().filter(|known| known.status == status);
        let since = since.map_or(Time(now), |known| known.last_transition_time.clone());
        let next = Condition {
            type_: kind.into(),
            status: status.into(),
            reason,
            message,
            observed_generation: generation,
            last_transition_time: since,
        };
        match known {
            Some(known) => *known = next,
            None => conditions.push(next),
        }
    }
    (conditions != current).then_some(conditions)
}

/// Why no other cluster sees an export, by name; a valid one has no entry.
pub type ExportVerdicts = BTreeMap<Name, ExportRejection>;

/// The statuses of our exports that are to change.
pub fn exports(
    exports: &OrdMap<Name, Arc<ServiceExport>>,
    rejected: &ExportVerdicts,
    imports: &Imports,
    now: Timestamp,
) -> Vec<StatusPatch> {
    let patch = |(name, export): (&Name, &Arc<ServiceExport>)| {
        let current = export.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let wishes = match rejected.get(name) {
            Some(rejection) => vec![
                Wish::new("Valid", false, rejection.reason.label(), &*rejection.message),
                Wish::new("Ready", false, "Failed", "it is not exported"),
            ],
            None => export_wishes(imports.services.get(name)),
        };
        let conditions = fulfil(current, wishes, export.metadata.generation, now)?;
        Some(StatusPatch {
            object: ObjectRef::new(Kind::ServiceExport, name.clone()),
            status: json!({"conditions": conditions}),
            resource_version: export.metadata.resource_version.clone(),
        })
    };
    exports.iter().filter_map(patch).collect()
}

fn export_wishes(import: Option<&Import>) -> Vec<Wish> {
    let mut wishes = vec![
        Wish::new("Valid", true, "Valid", "the Service can be exported"),
        Wish::new(
            "Ready",
            true,
            "Exported",
            "it stands in the catalog of the links that may see it",
        ),
    ];
    wishes.extend(import.map(conflict));
    wishes.extend(import.map(carriage));
    wishes
}

/// Whether exporters contradict each other: the first reason, and all sentences.
fn conflict(import: &Import) -> Wish {
    let messages: Vec<&str> = import.conflicts.iter().map(|conflict| &*conflict.message).collect();
    match import.conflicts.first() {
        Some(first) => Wish::new("Conflict", true, first.reason.label(), messages.join("; ")),
        None => Wish::new("Conflict", false, "NoConflicts", "all exports agree"),
    }
}

/// Whether gateways carry all ports.
fn carriage(import: &Import) -> Wish {
    let uncarried: Vec<String> = import
        .uncarried()
        .map(|port| format!("{}/{}", port.number, transport_label(port.transport)))
        .collect();
    if uncarried.is_empty() {
        Wish::new("PortsCarried", true, "Carried", "all ports are carried")
    } else {
        let message = format!("only TCP is carried, not {}", uncarried.join(", "));
        Wish::new("PortsCarried", false, "UnsupportedProtocol", message)
    }
}

/// What the statuses of imports follow from.
#[derive(Clone, Copy, Debug)]
pub struct ImportFacts<'a> {
    /// The imports as they stand.
    pub observed: &'a OrdMap<Name, Arc<ServiceImport>>,
    /// The merged imports.
    pub imports: &'a Imports,
    /// Who stands in the slices of which Service.
    pub standing: &'a Seating,
    /// Why an import is not as it was asked for.
    pub problems: &'a [Problem],
}

/// The statuses of the imports of ours that are to change.
pub fn imports(facts: &ImportFacts<'_>, now: Timestamp) -> Vec<StatusPatch> {
    let ours = facts.observed.iter().filter(|(_, object)| marks::is_ours(&object.metadata));
    let mut problems: BTreeMap<&Name, Vec<&Problem>> = BTreeMap::new();
    for problem in facts.problems {
        problems.entry(&problem.import).or_default().push(problem);
    }
    ours.filter_map(|(name, object)| {
        let import = facts.imports.services.get(name)?;
        let status = object.status.clone().unwrap_or_default();
        let mut clusters: Vec<ImportCluster> = import
            .exporters
            .iter()
            .map(|exporter| ImportCluster { cluster: exporter.cluster.as_ref().into() })
            .collect();
        clusters.sort_by(|one, other| one.cluster.cmp(&other.cluster));
        let problems = problems.get(name).map(Vec::as_slice).unwrap_or_default();
        let seated = facts.standing.of(&derived_name(name)).is_some();
        let wishes = import_wishes(object, import, seated, problems);
        let conditions = fulfil(&status.conditions, wishes, object.metadata.generation, now);
        if conditions.is_none() && status.clusters == clusters {
            return None;
        }
        let conditions = conditions.unwrap_or(status.conditions);
        Some(StatusPatch {
            object: ObjectRef::new(Kind::ServiceImport, name.clone()),
            status: json!({"clusters": clusters, "conditions": conditions}),
            resource_version: object.metadata.resource_version.clone(),
        })
    })
    .collect()
}

fn import_wishes(
    object: &ServiceImport,
    import: &Import,
    seated: bool,
    problems: &[&Problem],
) -> Vec<Wish> {
    let ready = if import.headless {
        Wish::new("Ready", true, "Ready", "a headless import has no IP")
    } else if object.spec.ips.is_empty() {
        Wish::new("Ready", false, "Pending", "it has no IP yet")
    } else if seated {
        Wish::new("Ready", true, "Ready", "gateways take calls to its IP")
    } else {
        Wish::new("Ready", false, "Pending", "no gateway has its ports bound yet")
    };
    let (ports, names): (Vec<&Problem>, Vec<&Problem>) = problems
        .iter()
        .partition(|problem| matches!(problem.reason, PORTS_EXHAUSTED | BIND_FAILED));
    vec![
        ready,
        conflict(import),
        carriage(import),
        told("PortsBound", "Bound", "no gateway reports a failure", &ports),
        told("Mirrored", "AsAsked", "no mirrored Service is missing", &names),
    ]
}

/// A condition that is true unless there are problems.
fn told(kind: &'static str, reason: &str, message: &str, problems: &[&Problem]) -> Wish {
    let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
    match problems.first() {
        Some(first) => Wish::new(kind, false, first.reason, messages.join("; ")),
        None => Wish::new(kind, true, reason, message),
    }
}

/// The reason where no port is left in the range.
pub const PORTS_EXHAUSTED: &str = "PortsExhausted";

#[cfg(test)]
mod tests;
