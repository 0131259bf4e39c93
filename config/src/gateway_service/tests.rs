//! The Service of a Gateway, and leave to read Secrets.

use k8s_openapi::api::rbac::v1::RoleBinding;
use serde_json::{Value, json};

use super::*;
use crate::compile::{Context, compile};
use crate::model::{Kind, ObjectRef};

fn settings() -> ServiceSettings {
    ServiceSettings {
        namespace: "spanway".to_owned(),
        selector: [("app".to_owned(), "gateway".to_owned())].into(),
        external_traffic_policy: "Local".to_owned(),
    }
}

fn apply(resources: &mut Resources, kind: Kind, value: Value) {
    resources.apply(kind, serde_json::from_value(value).unwrap());
}

fn resources() -> Resources {
    let mut all = Resources::default();
    apply(
        &mut all,
        Kind::GatewayClass,
        json!({
            "metadata": { "name": "c" }, "spec": { "controllerName": crate::compile::CONTROLLER_NAME },
        }),
    );
    apply(
        &mut all,
        Kind::Gateway,
        json!({
            "metadata": { "name": "g".repeat(253), "namespace": "infra", "uid": "u" },
            "spec": { "gatewayClassName": "c", "infrastructure": { "labels": { "team": "a" } },
                "listeners": [{ "name": "http", "protocol": "HTTP", "port": 80 }] },
        }),
    );
    apply(
        &mut all,
        Kind::ConfigMap,
        json!({
            "metadata": { "name": "p", "namespace": "spanway", "labels": { crate::marks::PORT_RECORD: "true" } },
            "data": { "20080": r#"{"uid":"u","port":80,"transport":"TCP","name":"infra/gw"}"# },
        }),
    );
    all
}

fn planned(resources: &Resources) -> ServicePlan {
    plan(resources, &compile(resources, &Context::new("spanway")).verdicts, &settings())
}

#[test]
fn the_service_maps_the_listener_port_to_the_container_port() {
    let plan = planned(&resources());
    let service = &plan.apply[0];
    let spec = service.spec.as_ref().unwrap();
    let port = &spec.ports.as_ref().unwrap()[0];
    assert_eq!((port.port, &port.target_port), (80, &Some(IntOrString::Int(20080))));
    assert_eq!(spec.external_traffic_policy.as_deref(), Some("Local"));
    let labels = service.metadata.labels.as_ref().unwrap();
    assert_eq!(labels["team"], "a");
    assert!(labels.values().all(|value| value.len() <= 63));
}

#[test]
fn a_service_that_is_as_it_should_be_is_left_alone_and_gives_the_addresses() {
    let mut resources = resources();
    let mut service = serde_json::to_value(&planned(&resources).apply[0]).unwrap();
    service["status"] = json!({ "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }] } });
    apply(&mut resources, Kind::Service, service);
    let plan = planned(&resources);
    assert_eq!((plan.apply.len(), plan.delete.len()), (0, 0));
    let addresses = plan.addresses.values().next().unwrap();
    assert_eq!(*addresses, [Address::IPAddress("192.0.2.1".to_owned())]);
}

#[test]
fn a_service_goes_with_its_gateway_and_others_stay() {
    let mut resources = resources();
    let service = serde_json::to_value(&planned(&resources).apply[0]).unwrap();
    apply(&mut resources, Kind::Service, service.clone());
    apply(
        &mut resources,
        Kind::Service,
        json!({ "metadata": { "name": "x", "namespace": "spanway" } }),
    );
    resources.remove(&ObjectRef::new(Kind::Gateway, Name::new("infra", &"g".repeat(253))));
    let name = Name::new("spanway", &service_name("u"));
    assert_eq!(planned(&resources).delete, std::slice::from_ref(&name));
    let mut going = service;
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    apply(&mut resources, Kind::Service, going);
    let plan = planned(&resources);
    assert_eq!((plan.delete.len(), plan.release), (0, vec![name]));
}

fn secret(namespace: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, Name::new(namespace, "cert"))
}

fn role_binding_settings() -> RoleBindingSettings {
    RoleBindingSettings {
        service_accounts: vec![Name::new("spanway", "gateway")],
        namespaces: Some(["infra".to_owned()].into()),
    }
}

/// A `RoleBinding` as we make it in this namespace.
fn role_binding(namespace: &str) -> Value {
    json!({
        "metadata": {
            "namespace": namespace, "name": SECRET_READER,
            "labels": {"spanway.dev/managed-by": "spanway"},
        },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SECRET_READER,
        },
        "subjects": [{"kind": "ServiceAccount", "name": "gateway", "namespace": "spanway"}],
    })
}

/// What is applied and what is deleted, by namespace, for a Secret in `infra`.
fn planned_bindings(standing: Vec<Value>) -> (Vec<String>, Vec<String>) {
    let mut resources = Resources::default();
    for one in standing {
        apply(&mut resources, Kind::RoleBinding, one);
    }
    let wanted = [secret("infra")].into();
    let plan = plan_role_bindings(&wanted, &resources.role_bindings, &role_binding_settings());
    let namespace = |one: RoleBinding| one.metadata.namespace.unwrap_or_default();
    let deleted = plan.delete.iter().map(|name| name.namespace.to_string());
    (plan.apply.into_iter().map(namespace).collect(), deleted.collect())
}

#[test]
fn secrets_are_read_only_where_they_are_referred_to_and_allowed() {
    let wanted = [secret("infra"), secret("vault")].into();
    let none = Resources::default().role_bindings;
    let plan = plan_role_bindings(&wanted, &none, &role_binding_settings());
    assert_eq!(plan.apply.len(), 1);
    assert_eq!(plan.apply[0].metadata.namespace.as_deref(), Some("infra"));
    assert_eq!(plan.refused, [secret("vault")]);
}

#[test]
fn a_role_binding_that_another_leader_left_goes_and_a_good_one_is_not_written_again() {
    let standing = vec![role_binding("infra"), role_binding("old")];
    assert_eq!(planned_bindings(standing), (vec![], vec!["old".to_owned()]));
}

#[test]
fn a_role_binding_that_somebody_changed_is_made_good_and_a_foreign_one_stays() {
    let mut changed = role_binding("infra");
    changed["subjects"] = json!([]);
    let mut foreign = role_binding("old");
    foreign["metadata"]["labels"] = json!({"spanway.dev/managed-by": "somebody"});
    assert_eq!(planned_bindings(vec![changed, foreign]), (vec!["infra".to_owned()], vec![]));
}

#[test]
fn a_role_binding_to_another_role_makes_way() {
    let mut changed = role_binding("infra");
    changed["roleRef"]["name"] = "view".into();
    assert_eq!(planned_bindings(vec![changed]), (vec![], vec!["infra".to_owned()]));
}
