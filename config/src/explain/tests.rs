//! Explanations are those of the compiled table.

use super::*;
use crate::compile::{Context, compile};
use crate::model::Kind;
use crate::resources::Resources;
use crate::table::Outcome;

fn table() -> RoutingTable {
    let mut all = Resources::default();
    let mut apply = |kind, value| all.apply(kind, serde_json::from_value(value).unwrap());
    apply(
        Kind::GatewayClass,
        serde_json::json!({
            "metadata": { "name": "c" }, "spec": { "controllerName": crate::compile::CONTROLLER_NAME },
        }),
    );
    apply(
        Kind::Gateway,
        serde_json::json!({
            "metadata": { "name": "g", "namespace": "a", "uid": "u" },
            "spec": { "gatewayClassName": "c", "listeners": [{ "name": "http", "protocol": "HTTP", "port": 80 }] },
        }),
    );
    apply(
        Kind::Service,
        serde_json::json!({
            "metadata": { "name": "web", "namespace": "a" }, "spec": { "ports": [{ "port": 80 }] },
        }),
    );
    apply(
        Kind::ConfigMap,
        serde_json::json!({
            "metadata": { "name": "p", "namespace": "spanway", "labels": { crate::marks::PORT_RECORD: "true" } },
            "data": { "20080": r#"{"uid":"u","port":80,"name":"a/g"}"# },
        }),
    );
    apply(
        Kind::HttpRoute,
        serde_json::json!({
            "metadata": { "name": "r", "namespace": "a" },
            "spec": { "parentRefs": [{ "name": "g" }], "rules": [
                { "matches": [{ "method": "POST" }] },
                { "backendRefs": [{ "name": "web", "port": 80, "weight": 3 }, { "name": "none", "port": 80 }] },
            ] },
        }),
    );
    compile(&all, &Context::new("spanway")).table
}

fn get(port: u16) -> Asked {
    let (method, host, path) = ("GET".to_owned(), "x.io".to_owned(), "/".to_owned());
    Asked { method, host, port, path, query: None, headers: vec![] }
}

#[test]
fn weights_are_chances_and_each_rule_says_why_not() {
    let explained = explain(&table(), &get(80));
    let [one] = explained.as_slice() else { panic!("{explained:?}") };
    assert_eq!((one.container_port, one.owner.to_string().as_str()), (20080, "a/g"));
    let outcomes: Vec<_> = one.tried.iter().map(|tried| tried.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::NotMatched("the method is not POST".into()), Outcome::Matched]);
    let Answer::Backends { rule: Some(rule), chances } = &one.answer else { panic!() };
    assert_eq!(rule.index, 1);
    let chances: Vec<_> = chances.iter().map(|one| one.chance).collect();
    assert_eq!(format!("{chances:?}"), "[0.75, 0.25]");
}

#[test]
fn a_port_that_no_gateway_listens_on_explains_nothing() {
    assert_eq!(explain(&table(), &get(81)), []);
}
