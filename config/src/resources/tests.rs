//! The rules of taking objects in.

use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).expect("it has the shape of an object")
}

fn route(name: &str, path_type: &str, version: &str) -> DynamicObject {
    object(json!({
        "metadata": {
            "namespace": "shop", "name": name, "uid": "u-1", "generation": 3,
            "resourceVersion": version,
        },
        "spec": {"rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]},
            {"matches": [{}, {"path": {"type": path_type, "value": "/"}}]},
        ]},
    }))
}

fn slice(name: &str, service: &str) -> DynamicObject {
    object(json!({
        "metadata": {
            "namespace": "shop", "name": name, "resourceVersion": "7",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 8080}],
    }))
}

#[test]
fn an_unknown_enum_value_rejects_its_object_alone_and_names_the_field() {
    let mut resources = Resources::default();
    resources.apply(Kind::HttpRoute, route("good", "Exact", "5"));
    resources.apply(Kind::HttpRoute, route("bad", "Fuzzy", "6"));
    let routes = &resources.http_routes;
    assert!(routes.valid.contains_key(&Name::new("shop", "good")));
    assert!(!routes.valid.contains_key(&Name::new("shop", "bad")));
    let broken = routes.broken.get(&Name::new("shop", "bad")).expect("it is known as broken");
    assert_eq!(broken.field, "spec.rules[1].matches[1].path.type");
    assert!(broken.message.contains("Fuzzy"), "{}", broken.message);
    assert_eq!(broken.generation, Some(3));
    assert_eq!(broken.uid.as_deref(), Some("u-1"));
}

#[test]
fn a_redirects_status_code_is_a_number() {
    let mut resources = Resources::default();
    let redirect = object(json!({
        "metadata": {"namespace": "shop", "name": "r"},
        "spec": {"rules": [{"filters": [
            {"type": "RequestRedirect", "requestRedirect": {"statusCode": 301}},
        ]}]},
    }));
    resources.apply(Kind::HttpRoute, redirect);
    assert!(resources.http_routes.broken.is_empty(), "{:?}", resources.http_routes.broken);
}

#[test]
fn a_broken_version_replaces_the_good_one_and_a_good_one_the_broken() {
    let mut resources = Resources::default();
    let name = Name::new("shop", "web");
    resources.apply(Kind::HttpRoute, route("web", "Exact", "1"));
    resources.apply(Kind::HttpRoute, route("web", "Fuzzy", "2"));
    assert!(resources.http_routes.get(&name).is_none(), "what is rejected no longer rules");
    resources.apply(Kind::HttpRoute, route("web", "Exact", "3"));
    assert!(resources.http_routes.get(&name).is_some());
    assert!(resources.http_routes.broken.is_empty());
}

#[test]
fn a_version_never_falls_and_counts_deletions() {
    let mut resources = Resources::default();
    resources.apply(Kind::HttpRoute, route("a", "Exact", "9"));
    resources.apply(Kind::HttpRoute, route("b", "Exact", "4"));
    assert_eq!(resources.versions.get(&Kind::HttpRoute), Some(&9));
    resources.remove(&ObjectRef::new(Kind::HttpRoute, Name::new("shop", "a")));
    resources.saw(Kind::HttpRoute, 12);
    assert_eq!(resources.versions.get(&Kind::HttpRoute), Some(&12));
}

#[test]
fn an_export_needs_no_spec() {
    let mut resources = Resources::default();
    let export = object(json!({"metadata": {"namespace": "shop", "name": "web"}}));
    resources.apply(Kind::ServiceExport, export);
    assert!(resources.service_exports.get(&Name::new("shop", "web")).is_some());
}

#[test]
fn a_copy_keeps_what_it_saw() {
    let mut resources = Resources::default();
    resources.apply(Kind::HttpRoute, route("a", "Exact", "1"));
    let before = resources.clone();
    resources.remove(&ObjectRef::new(Kind::HttpRoute, Name::new("shop", "a")));
    assert_eq!((before.http_routes.valid.len(), resources.http_routes.valid.len()), (1, 0));
}

#[test]
fn a_slice_whose_label_changes_leaves_the_service_that_it_had() {
    let mut slices = Slices::default();
    slices.apply(slice("s", "web"));
    slices.apply(slice("s", "api"));
    assert!(!slices.by_service.contains_key(&Name::new("shop", "web")));
    assert_eq!(slices.by_service.get(&Name::new("shop", "api")).map(OrdMap::len), Some(1));
    slices.remove(&Name::new("shop", "s"));
    assert!(slices.by_service.is_empty() && slices.service_of.is_empty());
    assert_eq!(slices.version, 7);
}

#[test]
fn a_broken_slice_is_known_and_gone() {
    let mut slices = Slices::default();
    slices.apply(slice("s", "web"));
    let mut broken = slice("s", "web");
    broken.data["endpoints"] = json!("none");
    slices.apply(broken);
    assert!(slices.by_service.is_empty());
    let broken = slices.broken.get(&Name::new("shop", "s")).expect("known as broken");
    assert_eq!(broken.field, "endpoints");
}

/// A Gateway as a watch tells it.
fn gateway(version: &str, class: &str, status: &Value) -> DynamicObject {
    object(json!({
        "metadata": {
            "namespace": "shop", "name": "edge", "generation": 1, "resourceVersion": version,
            "managedFields": [{"manager": "m", "time": format!("2026-01-01T00:00:0{version}Z")}],
        },
        "spec": {"gatewayClassName": class, "listeners": []},
        "status": status,
    }))
}

fn accepted(status: &str) -> Value {
    json!({"conditions": [{
        "type": "Accepted", "status": status, "reason": "Accepted", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]})
}

#[test]
fn a_status_that_is_written_keeps_the_revision_and_is_seen() {
    let mut resources = Resources::default();
    resources.apply(Kind::Gateway, gateway("1", "spanway", &Value::Null));
    let before = resources.clone();
    resources.apply(Kind::Gateway, gateway("2", "spanway", &accepted("True")));
    assert_eq!(resources.revision(), before.revision());
    let held = resources.gateways.get(&Name::new("shop", "edge")).expect("it can be read");
    assert_eq!(held.metadata.resource_version.as_deref(), Some("2"));
    assert!(held.status.as_ref().is_some_and(|status| status.conditions.is_some()));
    assert_eq!(resources.versions.get(&Kind::Gateway), Some(&2));
}

#[test]
fn a_status_of_a_broken_object_keeps_the_revision_and_is_seen() {
    let broken = |version: &str, class: &str, status: Value| {
        let mut gateway = gateway(version, class, &status);
        gateway.data["spec"]["listeners"] = "none".into();
        gateway
    };
    let mut resources = Resources::default();
    resources.apply(Kind::Gateway, broken("1", "spanway", Value::Null));
    let before = resources.clone();
    resources.apply(Kind::Gateway, broken("2", "spanway", accepted("False")));
    assert_eq!(resources.revision(), before.revision());
    let held = resources.gateways.broken.get(&Name::new("shop", "edge")).expect("it is broken");
    assert_eq!(held.whole["metadata"]["resourceVersion"], "2");
    assert_eq!(held.whole["status"], accepted("False"));
    resources.apply(Kind::Gateway, broken("3", "other", accepted("False")));
    assert_ne!(resources.revision(), before.revision());
}

#[test]
fn all_else_changes_the_revision() {
    let mut resources = Resources::default();
    let mut last = resources.revision().clone();
    let mut differs = |resources: &Resources| {
        let before = std::mem::replace(&mut last, resources.revision().clone());
        before != last
    };
    resources.apply(Kind::Gateway, gateway("1", "spanway", &Value::Null));
    assert!(differs(&resources), "a new object");
    resources.apply(Kind::Gateway, gateway("2", "other", &Value::Null));
    assert!(differs(&resources), "another spec");
    let mut labelled = gateway("3", "other", &Value::Null);
    labelled.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    resources.apply(Kind::Gateway, labelled);
    assert!(differs(&resources), "a label");
    let mut broken = gateway("4", "other", &Value::Null);
    broken.data["spec"]["listeners"] = "none".into();
    resources.apply(Kind::Gateway, broken);
    assert!(differs(&resources), "it cannot be read any more");
    let edge = ObjectRef::new(Kind::Gateway, Name::new("shop", "edge"));
    resources.remove(&edge);
    assert!(differs(&resources), "it is gone");
    resources.remove(&edge);
    assert!(!differs(&resources), "it was gone already");
}

#[test]
fn a_pod_changes_nothing_that_is_compiled() {
    let pod = json!({"metadata": {"namespace": "spanway-system", "name": "gateway-0"}});
    let mut resources = Resources::default();
    let before = resources.revision().clone();
    resources.apply(Kind::Pod, object(pod));
    assert_eq!(resources.pods.valid.len(), 1);
    assert_eq!(*resources.revision(), before);
}
