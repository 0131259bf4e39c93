//! What is made for a Gateway, and when it goes.

use config::compile::Context;
use config::resources::Slices;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::catalog::client::LinkStates;
use crate::controller::round::{Settings, World};
use crate::plan::Known;
use crate::ports::{PortRange, REST};
use crate::slices::Reports;

const SYSTEM: &str = "spanway-system";

/// A class of ours and a Gateway with a plain and an encrypted listener.
fn resources() -> Resources {
    let mut resources = Resources::default();
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "spanway", "uid": "class"},
        "spec": {"controllerName": "spanway.dev/gateway-controller"},
    });
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "shop", "uid": "edge-uid"},
        "spec": {
            "gatewayClassName": "spanway",
            "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP"},
                {"name": "https", "port": 443, "protocol": "HTTPS",
                 "tls": {"certificateRefs": [{"name": "cert"}]}},
            ],
        },
    });
    resources.apply(Kind::GatewayClass, serde_json::from_value(class).unwrap());
    resources.apply(Kind::Gateway, serde_json::from_value(gateway).unwrap());
    resources
}

fn work(objects: bool) -> Work {
    let services = ServiceSettings {
        namespace: SYSTEM.into(),
        selector: [("app".into(), "spanway".into())].into(),
        external_traffic_policy: "Cluster".into(),
    };
    let service_accounts = vec![Name::new(SYSTEM, "spanway-gateway")];
    let bindings = RoleBindingSettings { service_accounts, namespaces: None };
    Work::new(
        Compiler::new(Context::new(SYSTEM)),
        objects.then_some(Objects { services, bindings }),
    )
}

/// A round in words, at this second.
fn round(work: &mut Work, resources: &Resources, second: i64) -> Vec<String> {
    let (changes, patches) = decided(work, resources, (&Ports::default(), second));
    let verb = |change: &Change| match change {
        Change::Create(_) => "create",
        Change::Apply(_) => "apply",
        Change::Replace(_) | Change::Release(_) => "replace",
        Change::Delete(_) => "delete",
    };
    let changes = changes.iter().map(|change| {
        let ObjectRef { kind, name } = change.reference();
        format!("{} {kind} in {}", verb(change), name.namespace)
    });
    let patches = patches.iter().map(|patch| format!("status of {}", patch.object));
    changes.chain(patches).collect()
}

fn decided(
    work: &mut Work,
    resources: &Resources,
    (ports, second): (&Ports, i64),
) -> (Vec<Change>, Vec<StatusPatch>) {
    let settings = Settings {
        cluster: "east".into(),
        trust_domain: "east.example".parse().unwrap(),
        namespace: SYSTEM.into(),
        world: World::Kubernetes,
        range: PortRange::default(),
        rest: REST,
    };
    let seen = Seen {
        settings: &settings,
        resources,
        slices: &Slices::default(),
        states: &LinkStates::default(),
        known: &Known::default(),
        reports: &Reports::new(),
        now: Timestamp::from_second(second).unwrap(),
    };
    let view = work.look(&seen);
    work.round(&seen, view, ports)
}

#[test]
fn a_listener_without_a_port_is_told_the_range_and_the_setting() {
    let exhausted = vec![PortOwner { uid: "edge-uid".into(), port: 80 }];
    let ports = Ports { exhausted, ..Ports::default() };
    let (_, patches) = decided(&mut work(true), &resources(), (&ports, 0));
    let gateway = patches.iter().find(|patch| patch.object.kind == Kind::Gateway).unwrap();
    let conditions = gateway.status["listeners"][0]["conditions"].as_array().unwrap();
    let programmed = conditions.iter().find(|one| one["type"] == "Programmed").unwrap();
    assert_eq!(programmed["reason"], "NoResources");
    let message = programmed["message"].as_str().unwrap();
    assert!(message.contains("20000-31999") && message.contains("--ports"), "{message}");
}

#[test]
fn listener_ports_are_owned_by_their_gateway() {
    let work = work(true);
    let compiled = work.compiler.compile(&resources());
    let owners = work.owners(&compiled);
    let owner = PortOwner { uid: "edge-uid".into(), port: 80 };
    assert_eq!(owners.get(&owner), Some(&Name::new("shop", "edge")));
}

#[test]
fn a_gateway_with_ports_gets_a_service_a_role_binding_and_conditions() {
    let mut resources = resources();
    let record = json!({"uid": "edge-uid", "port": 80, "name": "shop/edge"}).to_string();
    let records = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "spanway-ports-20", "namespace": SYSTEM,
            "labels": {"spanway.dev/port-record": "true"},
        },
        "data": {"20000": record},
    });
    resources.apply(Kind::ConfigMap, serde_json::from_value(records).unwrap());
    let expected = [
        "apply RoleBinding in shop",
        "create Service in spanway-system",
        "status of GatewayClass spanway",
        "status of Gateway shop/edge",
    ];
    assert_eq!(round(&mut work(true), &resources, 0), expected);
}

#[test]
fn a_directory_gets_conditions_alone() {
    let expected = ["status of GatewayClass spanway", "status of Gateway shop/edge"];
    assert_eq!(round(&mut work(false), &resources(), 0), expected);
}

fn bindings(changes: Vec<String>) -> Vec<String> {
    changes.into_iter().filter(|change| change.contains("RoleBinding")).collect()
}

/// Makes the role bindings that a round asks for stand, as a watch tells of them.
fn carried_out(resources: &mut Resources, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Apply(object) if object.reference.kind == Kind::RoleBinding => {
                let object = serde_json::from_value(object.value.clone()).unwrap();
                resources.apply(Kind::RoleBinding, object);
            }
            _ => {}
        }
    }
}

#[test]
fn a_role_binding_goes_with_the_last_reference_whoever_leads() {
    let mut resources = resources();
    let (changes, _) = decided(&mut work(true), &resources, (&Ports::default(), 0));
    carried_out(&mut resources, &changes);
    assert_eq!(bindings(round(&mut work(true), &resources, 1)), [""; 0]);
    let edge = Name::new("shop", "edge");
    resources.remove(&ObjectRef::new(Kind::Gateway, edge));
    let gone = bindings(round(&mut work(true), &resources, 2));
    assert_eq!(gone, ["delete RoleBinding in shop"]);
}

#[test]
fn a_role_binding_that_somebody_removed_is_written_again() {
    let (mut work, mut resources) = (work(true), resources());
    let (changes, _) = decided(&mut work, &resources, (&Ports::default(), 0));
    carried_out(&mut resources, &changes);
    let binding = ObjectRef::new(Kind::RoleBinding, Name::new("shop", SECRET_READER));
    resources.remove(&binding);
    assert_eq!(bindings(round(&mut work, &resources, 1)), ["apply RoleBinding in shop"]);
}
