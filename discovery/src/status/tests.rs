//! What conditions say, and when they change.

use config::api::ClusterLink;
use config::model::AppProtocol;

use super::*;
use crate::catalog::client::{LinkState, LinkStates};
use crate::catalog::{CatalogPort, CatalogService, Transport};
use crate::export::ExportReason;
use crate::freshness::Freshness;
use crate::link::{LinkReason, LinkRejection};
use crate::merge::{Member, merge};
use crate::report::{GatewayReport, LinkReport};
use crate::slices::Reports;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn web() -> Name {
    Name::new("shop", "web")
}

fn exported(cluster: &str, number: u16, transport: Transport) -> Member {
    let port = CatalogPort {
        name: "http".into(),
        number,
        transport,
        protocol: AppProtocol::Unset,
        app_protocol: None,
    };
    let service = CatalogService {
        exported_at: 1,
        headless: false,
        ports: vec![port],
        endpoints: OrdMap::new(),
        session_affinity_seconds: None,
        internal_traffic_policy: None,
        traffic_distribution: None,
        labels: OrdMap::new(),
        annotations: OrdMap::new(),
        ip_families: Vec::new(),
    };
    Member { cluster: cluster.into(), services: OrdMap::unit(web(), Arc::new(service)) }
}

fn read<T: serde::de::DeserializeOwned>(spec: &Value, conditions: &Value) -> OrdMap<Name, Arc<T>> {
    let object = json!({
        "metadata": {
            "name": "web", "namespace": "shop", "generation": 3,
            "labels": {"spanway.dev/managed-by": "spanway"},
        },
        "spec": spec,
        "status": {"conditions": conditions},
    });
    OrdMap::unit(web(), Arc::new(serde_json::from_value(object).unwrap()))
}

/// `type=status/reason` of a condition in a patch.
fn said(patches: &[StatusPatch], kind: &str) -> String {
    let conditions = patches[0].status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|condition| condition["type"] == kind).unwrap();
    format!("{}/{}", condition["status"].as_str().unwrap(), condition["reason"].as_str().unwrap())
}

fn export_patch(imports: &Imports, conditions: &Value, now: i64) -> Vec<StatusPatch> {
    exports(&read(&json!({}), conditions), &ExportVerdicts::new(), imports, at(now))
}

#[test]
fn a_valid_export_says_so_once() {
    let imports = merge(&[exported("west", 80, Transport::Tcp)]);
    let patches = export_patch(&imports, &json!([]), 5);
    assert_eq!(said(&patches, "Valid"), "True/Valid");
    assert_eq!(said(&patches, "Ready"), "True/Exported");
    assert_eq!(said(&patches, "Conflict"), "False/NoConflicts");
    let conditions = &patches[0].status["conditions"];
    assert_eq!(conditions[0]["observedGeneration"], 3);
    assert_eq!(export_patch(&imports, conditions, 9), []);
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_change() {
    let imports = merge(&[exported("west", 80, Transport::Tcp)]);
    let old = export_patch(&imports, &json!([]), 5);
    let conflicting =
        merge(&[exported("west", 80, Transport::Tcp), exported("east", 81, Transport::Tcp)]);
    let new = export_patch(&conflicting, &old[0].status["conditions"], 9);
    let times: Vec<&Value> = new[0].status["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| &condition["lastTransitionTime"])
        .collect();
    assert_eq!(times[0], "1970-01-01T00:00:05Z");
    assert_eq!(times[2], "1970-01-01T00:00:09Z");
}

#[test]
fn conditions_of_others_stay() {
    let other = json!([{
        "type": "Theirs", "status": "True", "reason": "X", "message": "",
        "lastTransitionTime": "1970-01-01T00:00:01Z",
    }]);
    let imports = merge(&[exported("west", 80, Transport::Tcp)]);
    assert_eq!(said(&export_patch(&imports, &other, 5), "Theirs"), "True/X");
}

#[test]
fn a_conflict_stands_on_every_export() {
    let members = [exported("west", 80, Transport::Tcp), exported("east", 81, Transport::Tcp)];
    assert_eq!(
        said(&export_patch(&merge(&members), &json!([]), 5), "Conflict"),
        "True/PortConflict"
    );
}

#[test]
fn a_rejected_export_says_why() {
    let rejection = ExportRejection {
        object: ObjectRef::new(Kind::ServiceExport, web()),
        generation: None,
        reason: ExportReason::NoService,
        message: "there is no Service shop/web".into(),
    };
    let rejected = [(web(), rejection)].into();
    let patches = exports(&read(&json!({}), &json!([])), &rejected, &Imports::default(), at(5));
    assert_eq!(said(&patches, "Valid"), "False/NoService");
    assert_eq!(said(&patches, "Ready"), "False/Failed");
}

fn import_patch(member: Member, seated: bool, problems: &[Problem]) -> Vec<StatusPatch> {
    let spec = json!({"type": "ClusterSetIP", "ports": [], "ips": ["10.96.0.7"]});
    let facts = ImportFacts {
        observed: &read(&spec, &json!([])),
        imports: &merge(&[member]),
        standing: &seated
            .then(|| (derived_name(&web()), 20_000, "gw".into()))
            .into_iter()
            .collect(),
        problems,
    };
    imports(&facts, at(5))
}

#[test]
fn an_import_names_its_clusters_and_is_ready_once_a_gateway_takes_calls() {
    let patches = import_patch(exported("west", 80, Transport::Tcp), true, &[]);
    assert_eq!(said(&patches, "Ready"), "True/Ready");
    assert_eq!(patches[0].status["clusters"], json!([{"cluster": "west"}]));
    let pending = import_patch(exported("west", 80, Transport::Tcp), false, &[]);
    assert_eq!(said(&pending, "Ready"), "False/Pending");
}

#[test]
fn udp_ports_are_said_not_to_be_carried() {
    let patches = import_patch(exported("west", 53, Transport::Udp), false, &[]);
    assert_eq!(said(&patches, "PortsCarried"), "False/UnsupportedProtocol");
}

#[test]
fn problems_stand_in_the_condition_that_they_belong_to() {
    let problem = |reason| Problem { import: web(), reason, message: "x".into() };
    let problems = [problem(PORTS_EXHAUSTED), problem("NameTaken")];
    let patches = import_patch(exported("west", 80, Transport::Tcp), false, &problems);
    assert_eq!(said(&patches, "PortsBound"), "False/PortsExhausted");
    assert_eq!(said(&patches, "Mirrored"), "False/NameTaken");
}

/// What is said of the link `web` in this state.
fn link_patch(state: Option<LinkState>, report: Option<LinkReport>) -> Vec<StatusPatch> {
    link_patch_with(state, report, &[])
}

/// The same, where strangers called too.
fn link_patch_with(
    state: Option<LinkState>,
    report: Option<LinkReport>,
    strangers: &[(Arc<str>, u64)],
) -> Vec<StatusPatch> {
    let spec = json!({"addresses": ["x"], "trustDomain": "west.example"});
    let report = report.map(|link| GatewayReport {
        instance: "gw".into(),
        pod: Name::new("spanway-system", "gw-0"),
        addresses: Vec::new(),
        serving: true,
        draining: false,
        table_version: 1,
        bound: crate::report::BoundPorts::default(),
        bind_failures: Vec::new(),
        links: vec![link],
        strangers: strangers.to_vec(),
    });
    let reports: Reports =
        report.into_iter().map(|report| ("gw".into(), Arc::new(report))).collect();
    let states: LinkStates =
        state.into_iter().map(|state| ("web".into(), Arc::new(state))).collect();
    let facts = LinkFacts {
        observed: &read::<ClusterLink>(&spec, &json!([])),
        rejected: &BTreeMap::new(),
        states: &states,
        reports: &reports,
    };
    links(&facts, at(5))
}

fn connected() -> LinkState {
    let freshness = Freshness::Fresh;
    LinkState { received: true, connected: true, freshness, ..LinkState::default() }
}

fn troubled(reason: &str) -> LinkState {
    LinkState { problem: Some((reason.into(), "a sentence".into())), ..LinkState::default() }
}

#[test]
fn a_link_that_works_says_so() {
    let patches = link_patch(Some(connected()), None);
    let kinds = ["Accepted", "Reachable", "Trusted", "Synced", "PeersRefused"];
    let said: Vec<String> = kinds.into_iter().map(|kind| said(&patches, kind)).collect();
    let expected =
        ["True/Accepted", "True/Connected", "True/Verified", "True/Fresh", "False/NoneRefused"];
    assert_eq!(said, expected);
}

#[test]
fn a_peer_that_is_not_trusted_is_named_by_reason() {
    let patches = link_patch(Some(troubled("WrongTrustDomain")), None);
    assert_eq!(said(&patches, "Trusted"), "False/WrongTrustDomain");
    assert_eq!(said(&patches, "Reachable"), "False/WrongTrustDomain");
}

#[test]
fn a_link_that_is_not_reached_says_nothing_of_trust() {
    let patches = link_patch(Some(troubled("Unreachable")), None);
    assert_eq!(said(&patches, "Reachable"), "False/Unreachable");
    assert_eq!(said(&patches, "Trusted"), "Unknown/NotConnected");
    assert_eq!(said(&patches, "Synced"), "False/NeverReceived");
}

/// What a gateway says of the link that refused peers for this reason.
fn refusing(reason: Option<&str>) -> LinkReport {
    LinkReport {
        link: "web".into(),
        connected: true,
        problem: None,
        age_seconds: 0,
        refused: reason.into_iter().map(|reason| (reason.into(), 3)).collect(),
        services: 1,
    }
}

#[test]
fn refused_peers_stand_in_the_links_condition() {
    let patches = link_patch(Some(connected()), Some(refusing(Some("NotListed"))));
    assert_eq!(said(&patches, "PeersRefused"), "True/NotListed");
    assert_eq!(said(&patches, "Trusted"), "True/Verified");
}

#[test]
fn strangers_stand_in_every_links_condition_and_sound_at_none() {
    let strangers = [("NoCertificate".into(), 1), ("UnknownTrustDomain".into(), 0)];
    let patches = link_patch_with(Some(connected()), Some(refusing(None)), &strangers);
    assert_eq!(said(&patches, "PeersRefused"), "False/NoneRefused");
    let conditions = patches[0].status["conditions"].as_array().unwrap();
    let refused = conditions.iter().find(|one| one["type"] == "PeersRefused").unwrap();
    assert_eq!(
        refused["message"],
        "nobody of this link was refused; callers of no known link were: NoCertificate"
    );
}

#[test]
fn a_version_that_was_reset_is_said() {
    let state = LinkState { problem: troubled(VERSION).problem, ..connected() };
    assert_eq!(said(&link_patch(Some(state), None), "Synced"), "False/VersionReset");
}

const VERSION: &str = "VersionReset";

#[test]
fn a_link_that_is_not_accepted_says_why() {
    let rejection = LinkRejection {
        object: ObjectRef::new(Kind::ClusterLink, web()),
        generation: None,
        reason: LinkReason::DuplicateTrustDomain,
        message: "x".into(),
    };
    let facts = LinkFacts {
        observed: &read(&json!({"addresses": ["x"], "trustDomain": "a"}), &json!([])),
        rejected: &[("web".into(), rejection)].into(),
        states: &LinkStates::default(),
        reports: &Reports::new(),
    };
    let patches = links(&facts, at(5));
    assert_eq!(said(&patches, "Accepted"), "False/DuplicateTrustDomain");
    assert_eq!(said(&patches, "Reachable"), "Unknown/NotAccepted");
}
