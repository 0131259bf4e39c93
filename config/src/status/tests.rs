//! Patches: nothing of others is touched, and nothing is written twice.

use super::*;
use crate::compile::compile;
use crate::resources::Resources;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn later() -> Timestamp {
    Timestamp::from_second(1_000).unwrap()
}

struct World {
    resources: Resources,
    observed: Observed,
}

fn object(value: Value) -> kube::core::DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn world() -> World {
    let mut world = World { resources: Resources::default(), observed: Observed::default() };
    world.apply(
        Kind::GatewayClass,
        json!({
            "metadata": { "name": "spanway", "generation": 1 },
            "spec": { "controllerName": crate::compile::CONTROLLER_NAME },
        }),
    );
    world.apply(Kind::Gateway, json!({
        "metadata": { "name": "gw", "namespace": "infra", "uid": "u", "generation": 2, "resourceVersion": "7" },
        "spec": { "gatewayClassName": "spanway", "listeners": [{ "name": "http", "protocol": "HTTP", "port": 80 }] },
    }));
    world.apply(Kind::ConfigMap, json!({
        "metadata": { "name": "p", "namespace": "spanway", "labels": { crate::marks::PORT_RECORD: "true" } },
        "data": { "20080": r#"{"uid":"u","port":80,"transport":"TCP","name":"infra/gw"}"# },
    }));
    world
}

fn route(status: &Value) -> Value {
    json!({
        "metadata": { "name": "r", "namespace": "infra", "generation": 4 },
        "spec": { "parentRefs": [{ "name": "gw" }], "rules": [] },
        "status": status,
    })
}

impl World {
    fn apply(&mut self, kind: Kind, value: Value) {
        self.resources.apply(kind, object(value));
    }

    fn patches(&self, now: Timestamp) -> Vec<StatusPatch> {
        self.patches_since(&mut Settled::default(), now)
    }

    fn patches_since(&self, settled: &mut Settled, now: Timestamp) -> Vec<StatusPatch> {
        let context = Context::new("spanway");
        let verdicts = compile(&self.resources, &context).verdicts;
        patches(&self.resources, &verdicts, (&self.observed, settled), (&context, now))
    }

    fn patch(&self, kind: Kind, now: Timestamp) -> Option<Value> {
        let all = self.patches(now);
        all.into_iter().find(|one| one.object.kind == kind).map(|one| one.body)
    }

    fn programmed(&self) -> (String, String) {
        let body = self.patch(Kind::Gateway, NOW).unwrap();
        let reason = |value: &Value| {
            let conditions = conditions_of(value);
            let found = conditions.iter().find(|one| one["type"] == "Programmed").unwrap();
            found["reason"].as_str().unwrap().to_owned()
        };
        (reason(&body["status"]), reason(&body["status"]["listeners"][0]))
    }
}

#[test]
fn what_was_written_is_not_written_again() {
    let mut world = world();
    world.apply(Kind::HttpRoute, route(&Value::Null));
    let first = world.patches(NOW);
    assert_eq!(first.len(), 3);
    for patch in first {
        let mut value = match patch.object.kind {
            Kind::GatewayClass => json!({ "metadata": { "name": "spanway", "generation": 1 },
                "spec": { "controllerName": crate::compile::CONTROLLER_NAME } }),
            Kind::Gateway => {
                serde_json::to_value(&**world.resources.gateways.get(&patch.object.name).unwrap())
                    .unwrap()
            }
            _ => route(&Value::Null),
        };
        value["status"] = patch.body["status"].clone();
        world.apply(patch.object.kind, value);
    }
    assert_eq!(world.patches(later()), []);
}

#[test]
fn a_route_is_looked_at_again_until_it_says_what_it_should() {
    let (mut world, mut settled) = (world(), Settled::default());
    let mut of_route = |world: &World| {
        let all = world.patches_since(&mut settled, NOW);
        all.into_iter().find(|patch| patch.object.kind == Kind::HttpRoute)
    };
    world.apply(Kind::HttpRoute, route(&Value::Null));
    let wanted = of_route(&world).expect("it says nothing yet");
    assert_eq!(of_route(&world).as_ref(), Some(&wanted), "the patch was refused");
    world.apply(Kind::HttpRoute, route(&wanted.body["status"]));
    assert_eq!(of_route(&world), None, "it was applied");
    assert_eq!(of_route(&world), None);
    world.apply(Kind::HttpRoute, route(&json!({ "parents": [] })));
    assert_eq!(of_route(&world), Some(wanted), "somebody took it away");
}

#[test]
fn a_route_that_stays_is_looked_at_when_its_gateway_goes() {
    let (mut world, mut settled) = (world(), Settled::default());
    world.apply(Kind::HttpRoute, route(&Value::Null));
    let first = world.patches_since(&mut settled, NOW);
    let of_route =
        |all: Vec<StatusPatch>| all.into_iter().find(|patch| patch.object.kind == Kind::HttpRoute);
    world.apply(Kind::HttpRoute, route(&of_route(first).unwrap().body["status"]));
    assert_eq!(of_route(world.patches_since(&mut settled, NOW)), None);
    world.resources.remove(&ObjectRef::new(Kind::Gateway, Name::new("infra", "gw")));
    let gone = of_route(world.patches_since(&mut settled, NOW)).unwrap();
    assert_eq!(gone.body["status"], json!({ "parents": [] }));
}

#[test]
fn entries_of_other_controllers_stay() {
    let foreign = json!({ "controllerName": "example.com/x", "parentRef": { "name": "gw" }, "conditions": [] });
    let mut world = world();
    world.apply(Kind::HttpRoute, route(&json!({ "parents": [foreign] })));
    let body = world.patch(Kind::HttpRoute, NOW).unwrap();
    assert_eq!(body["status"]["parents"][0], foreign);
    assert_eq!(body["status"]["parents"][1]["parentRef"], json!({ "name": "gw" }));
}

#[test]
fn an_entry_of_ours_goes_with_its_parent() {
    let ours = json!({ "controllerName": crate::compile::CONTROLLER_NAME, "parentRef": { "name": "old" }, "conditions": [] });
    let mut world = world();
    world.apply(Kind::HttpRoute, route(&json!({ "parents": [ours] })));
    let body = world.patch(Kind::HttpRoute, NOW).unwrap();
    assert_eq!(body["status"]["parents"].as_array().unwrap().len(), 1);
    assert_eq!(body["status"]["parents"][0]["parentRef"]["name"], "gw");
}

#[test]
fn conditions_of_others_stay_and_time_moves_with_the_status_only() {
    let held = |type_: &str, status: &str| json!({ "type": type_, "status": status, "reason": "X", "message": "", "observedGeneration": 1, "lastTransitionTime": "2020-01-01T00:00:00Z" });
    let mut world = world();
    let mut gateway =
        serde_json::to_value(&**world.resources.gateways.get(&Name::new("infra", "gw")).unwrap())
            .unwrap();
    gateway["status"] = json!({ "conditions": [held("example.com/Foreign", "True"), held("Accepted", "True"), held("Programmed", "True")] });
    world.apply(Kind::Gateway, gateway);
    let body = world.patch(Kind::Gateway, later()).unwrap();
    let conditions = conditions_of(&body["status"]);
    assert_eq!(conditions[0], held("example.com/Foreign", "True"));
    assert_eq!(conditions[1]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    assert_eq!(conditions[1]["observedGeneration"], 2);
    assert_eq!(conditions[2]["lastTransitionTime"], "1970-01-01T00:16:40Z");
    assert_eq!(body["metadata"]["resourceVersion"], "7");
}

#[test]
fn a_gateway_is_programmed_once_its_ports_are_bound_and_it_has_an_address() {
    let mut world = world();
    let pair = |gateway: &str, listener: &str| (gateway.to_owned(), listener.to_owned());
    assert_eq!(world.programmed(), pair("Pending", "Pending"));
    world.observed.bound.insert(PortOwner { uid: "u".into(), port: 80 });
    assert_eq!(world.programmed(), pair("AddressNotAssigned", "Programmed"));
    let address = Address::IPAddress("192.0.2.1".to_owned());
    world.observed.addresses.insert(Name::new("infra", "gw"), vec![address]);
    assert_eq!(world.programmed(), pair("Programmed", "Programmed"));
}

#[test]
fn a_listener_for_which_no_port_is_left_says_so() {
    let mut world = world();
    let records = ObjectRef::new(Kind::ConfigMap, Name::new("spanway", "p"));
    world.resources.remove(&records);
    let pair = |reason: &str| (reason.to_owned(), reason.to_owned());
    assert_eq!(world.programmed(), pair("Pending"));
    let owner = PortOwner { uid: "u".into(), port: 80 };
    world.observed.exhausted.insert(owner, "all of 20000-20001 are taken".to_owned());
    assert_eq!(world.programmed(), pair("NoResources"));
    let status = &world.patch(Kind::Gateway, NOW).unwrap()["status"];
    for conditions in [&status["conditions"], &status["listeners"][0]["conditions"]] {
        let conditions = conditions.as_array().unwrap();
        let programmed = conditions.iter().find(|one| one["type"] == "Programmed").unwrap();
        assert_eq!(programmed["status"], "False");
        assert_eq!(programmed["message"], "all of 20000-20001 are taken");
    }
}

#[test]
fn a_listener_whose_port_a_gateway_could_not_bind_says_which_and_why() {
    let mut world = world();
    let owner = PortOwner { uid: "u".into(), port: 80 };
    world.observed.bound.insert(owner.clone());
    world.observed.unbound.insert(owner, "system/gw-1 cannot bind 20080: in use".to_owned());
    assert_eq!(world.programmed(), ("BindFailed".to_owned(), "BindFailed".to_owned()));
    let status = &world.patch(Kind::Gateway, NOW).unwrap()["status"];
    let conditions = status["conditions"].as_array().unwrap();
    let programmed = conditions.iter().find(|one| one["type"] == "Programmed").unwrap();
    assert_eq!(programmed["message"], "system/gw-1 cannot bind 20080: in use");
}

#[test]
fn a_route_that_cannot_be_read_gets_a_condition_that_names_the_field() {
    let mut world = world();
    let mut broken = route(&Value::Null);
    broken["spec"]["rules"] = json!([{ "matches": [{ "path": { "type": "Odd" } }] }]);
    world.apply(Kind::HttpRoute, broken);
    let body = world.patch(Kind::HttpRoute, NOW).unwrap();
    let accepted = &body["status"]["parents"][0]["conditions"][0];
    assert_eq!(
        (&accepted["status"], &accepted["reason"]),
        (&json!("False"), &json!("UnsupportedValue"))
    );
    assert_eq!(accepted["observedGeneration"], 4);
    assert!(accepted["message"].as_str().unwrap().contains("spec.rules[0].matches[0].path.type"));
}
