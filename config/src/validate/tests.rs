//! Problems name the object, the field and what is wrong.

use serde_json::json;

use super::*;
use crate::compile::{Context, compile};

#[test]
fn each_problem_names_its_object_and_field() {
    let mut all = Resources::default();
    let mut apply = |kind, value| all.apply(kind, serde_json::from_value(value).unwrap());
    apply(
        Kind::GatewayClass,
        json!({
            "metadata": { "name": "c" }, "spec": { "controllerName": crate::compile::CONTROLLER_NAME },
        }),
    );
    apply(
        Kind::Gateway,
        json!({
            "metadata": { "name": "g", "namespace": "a" },
            "spec": { "gatewayClassName": "c", "listeners": [
                { "name": "http", "protocol": "HTTP", "port": 80 }, { "name": "odd", "protocol": "UDP", "port": 53 },
            ] },
        }),
    );
    apply(
        Kind::HttpRoute,
        json!({
            "metadata": { "name": "broken", "namespace": "a" },
            "spec": { "rules": [{ "matches": [{ "path": { "type": "Odd" } }] }] },
        }),
    );
    apply(
        Kind::HttpRoute,
        json!({
            "metadata": { "name": "r", "namespace": "a" },
            "spec": { "parentRefs": [{ "name": "g", "sectionName": "x" }], "rules": [] },
        }),
    );
    let compiled = compile(&all, &Context::new("spanway"));
    let found = problems(&all, &compiled);
    let short: Vec<_> =
        found.iter().map(|one| format!("{} {} {}", one.object, one.field, one.reason)).collect();
    assert_eq!(
        short,
        [
            "Gateway a/g spec.listeners[1] UnsupportedProtocol",
            "HTTPRoute a/broken spec.rules[0].matches[0].path.type Unreadable",
            "HTTPRoute a/r spec.parentRefs[0] NoMatchingParent",
        ]
    );
}
