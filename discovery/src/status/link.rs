//! Conditions of links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::api::ClusterLink;
use config::model::{Kind, LinkName, Name, ObjectRef};
use imbl::OrdMap;
use jiff::Timestamp;
use serde_json::json;

use crate::catalog::client::{LinkState, LinkStates};
use crate::freshness::Freshness;
use crate::link::LinkRejection;
use crate::report::LinkReport;
use crate::slices::Reports;

use super::{StatusPatch, Wish, fulfil};

/// Reasons of a problem that say nothing about trust.
const ABOUT_REACH: [&str; 7] = [
    "Behind",
    "InvalidCatalog",
    "ProtocolMismatch",
    "QuotaExceeded",
    "Silent",
    "Unreachable",
    VERSION_RESET,
];
/// The reason where the newest catalog on offer is older than the one that we had.
const VERSION_RESET: &str = "VersionReset";

/// What the statuses of links follow from.
#[derive(Clone, Copy, Debug)]
pub struct LinkFacts<'a> {
    /// The links as they stand.
    pub observed: &'a OrdMap<Name, Arc<ClusterLink>>,
    /// Those that are not used, by name.
    pub rejected: &'a BTreeMap<LinkName, LinkRejection>,
    /// How the leader finds them.
    pub states: &'a LinkStates,
    /// How the gateways find them.
    pub reports: &'a Reports,
}

/// A problem: a reason and a sentence.
type Trouble<'a> = Option<(&'a str, &'a str)>;

/// The statuses of links that are to change.
pub fn links(facts: &LinkFacts<'_>, now: Timestamp) -> Vec<StatusPatch> {
    let patch = |(name, link): (&Name, &Arc<ClusterLink>)| {
        let status = link.status.clone().unwrap_or_default();
        let state = facts.states.get(&name.name).map(|state| &**state);
        let wishes = match facts.rejected.get(&name.name) {
            Some(rejection) => {
                let (reason, message) = (rejection.reason.label(), &*rejection.message);
                let off = |kind| Wish::unknown(kind, "NotAccepted", "the link is not used");
                let accepted = Wish::new("Accepted", false, reason, message);
                vec![accepted, off("Reachable"), off("Trusted"), off("Synced")]
            }
            None => wishes(facts, &name.name, state),
        };
        let conditions = fulfil(&status.conditions, wishes, link.metadata.generation, now);
        let services = state
            .filter(|state| state.received)
            .and_then(|state| u32::try_from(state.catalog.services.len()).ok());
        if conditions.is_none() && status.imported_services == services {
            return None;
        }
        let conditions = conditions.unwrap_or(status.conditions);
        Some(StatusPatch {
            object: ObjectRef::new(Kind::ClusterLink, name.clone()),
            status: json!({"conditions": conditions, "importedServices": services}),
            resource_version: link.metadata.resource_version.clone(),
        })
    };
    facts.observed.iter().filter_map(patch).collect()
}

fn wishes(facts: &LinkFacts<'_>, name: &LinkName, state: Option<&LinkState>) -> Vec<Wish> {
    let reports: Vec<&LinkReport> = facts
        .reports
        .values()
        .flat_map(|report| &report.links)
        .filter(|report| report.link == *name)
        .collect();
    let own = state.into_iter().map(|state| (state.connected, state.problem.as_ref()));
    let theirs = reports.iter().map(|report| (report.connected, report.problem.as_ref()));
    let views: Vec<(bool, Trouble<'_>)> = own
        .chain(theirs)
        .map(|(connected, problem)| {
            (connected, problem.map(|(reason, sentence)| (&**reason, &**sentence)))
        })
        .collect();
    let refused = reasons(reports.iter().flat_map(|report| &report.refused));
    let strangers = reasons(facts.reports.values().flat_map(|report| &report.strangers));
    vec![
        Wish::new("Accepted", true, "Accepted", "the link is used"),
        reachable(&views),
        trusted(&views),
        synced(state),
        peers_refused(&refused, &strangers),
    ]
}

fn reachable(views: &[(bool, Trouble<'_>)]) -> Wish {
    let trouble =
        views.iter().filter(|(connected, _)| !connected).find_map(|(_, trouble)| *trouble);
    let connected = views.iter().any(|(connected, _)| *connected);
    match (connected, trouble) {
        (true, None) => Wish::new("Reachable", true, "Connected", "the catalog stream stands"),
        (true, Some((reason, sentence))) => {
            let message = format!("one of our pods cannot reach it: {reason}: {sentence}");
            Wish::new("Reachable", true, "PartlyConnected", message)
        }
        (false, Some((reason, sentence))) => Wish::new("Reachable", false, reason, sentence),
        (false, None) => Wish::unknown("Reachable", "Connecting", "nobody has reached it yet"),
    }
}

fn trusted(views: &[(bool, Trouble<'_>)]) -> Wish {
    let distrust = views
        .iter()
        .filter_map(|(_, trouble)| *trouble)
        .find(|(reason, _)| !ABOUT_REACH.contains(reason));
    let connected = views.iter().any(|(connected, _)| *connected);
    match (distrust, connected) {
        (Some((reason, sentence)), _) => Wish::new("Trusted", false, reason, sentence),
        (None, true) => {
            Wish::new("Trusted", true, "Verified", "its gateways prove that they are of the link")
        }
        (None, false) => Wish::unknown("Trusted", "NotConnected", "no gateway of it was met yet"),
    }
}

fn synced(state: Option<&LinkState>) -> Wish {
    let Some(state) = state.filter(|state| state.received) else {
        return Wish::new("Synced", false, "NeverReceived", "no catalog was received yet");
    };
    let reset = state.problem.as_ref().filter(|(reason, _)| &**reason == VERSION_RESET);
    match (state.freshness, reset) {
        (_, Some((reason, sentence))) => Wish::new("Synced", false, reason, &**sentence),
        (Freshness::Fresh, None) => Wish::new("Synced", true, "Fresh", "its catalog is current"),
        (Freshness::Stale { .. }, None) => Wish::new(
            "Synced",
            false,
            "Stale",
            "nothing was heard for a while; what is known is kept",
        ),
        (Freshness::Lost, None) => {
            let message = "nothing was heard for too long: the staleness policy applies";
            Wish::new("Synced", false, "Lost", message)
        }
    }
}

/// The reasons for which somebody was refused, each once.
fn reasons<'a>(refused: impl Iterator<Item = &'a (Arc<str>, u64)>) -> Vec<&'a str> {
    let counted = refused.filter(|(_, count)| *count > 0).map(|(reason, _)| &**reason);
    counted.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Who was turned away. The counts stand in a metric: here they would change with every attempt.
/// Whose caller a stranger is nobody can know, so that it stands at every link, and sounds at none.
fn peers_refused(refused: &[&str], strangers: &[&str]) -> Wish {
    let mut message = match refused {
        [] => "nobody of this link was refused".to_owned(),
        reasons => format!("peers were refused: {}", reasons.join(", ")),
    };
    if !strangers.is_empty() {
        message.push_str("; callers of no known link were: ");
        message.push_str(&strangers.join(", "));
    }
    match refused.first() {
        Some(first) => Wish::new("PeersRefused", true, first, message),
        None => Wish::new("PeersRefused", false, "NoneRefused", message),
    }
}
