//! What a link may see, and what it may reach.

use serde_json::{Value, json};

use super::*;
use crate::samples::{exports, leaving, ready, service, service_export, slices, web};

fn rule(value: &Value) -> ExportRule {
    ExportRule::from(&serde_json::from_value::<cluster_link::Export>(value.clone()).unwrap())
}

fn target(service: Name, port: u16, endpoint: Option<EndpointId>) -> LinkTarget {
    LinkTarget { link: "west".into(), service, port, endpoint }
}

fn offer(endpoints: &[Value]) -> Offer {
    Offer::build(&ExportRule::default(), &exports(endpoints), &NamespaceLabels::new())
}

#[test]
fn a_link_reaches_the_endpoint_that_it_was_told_of() {
    let offer = offer(&[ready("a", "10.0.0.1"), ready("b", "10.0.0.2")]);
    let ids: Vec<_> = offer.catalog.services[&web()].endpoints.keys().cloned().collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let found = offer.table.allows(&target(web(), 80, Some(id))).unwrap();
        assert!(matches!(found, Resolved::Endpoint(at) if at.port() == 8080));
    }
}

#[test]
fn without_an_endpoint_any_usable_one_is_offered() {
    let offer = offer(&[ready("a", "10.0.0.1"), leaving("b", "10.0.0.2")]);
    let found = offer.table.allows(&target(web(), 80, None)).unwrap();
    assert_eq!(found.pick(7), Some("10.0.0.1:8080".parse().unwrap()));
}

#[test]
fn an_endpoint_that_leaves_is_not_told_of_but_reached_by_who_chose_it() {
    let before = offer(&[ready("a", "10.0.0.1"), ready("b", "10.0.0.2")]);
    let after = offer(&[ready("a", "10.0.0.1"), leaving("b", "10.0.0.2")]);
    let told = &after.catalog.services[&web()].endpoints;
    assert_eq!(told.len(), 1);
    for id in before.catalog.services[&web()].endpoints.keys() {
        assert!(after.table.allows(&target(web(), 80, Some(id.clone()))).is_ok());
    }
}

#[test]
fn what_is_not_exported_to_the_link_is_refused() {
    let exports = exports(&[ready("a", "10.0.0.1")]);
    let none = NamespaceLabels::new();
    let other = rule(&json!({"namespaces": {"names": ["bank"]}}));
    let labelled = rule(&json!({"selector": {"matchLabels": {"team": "b"}}}));
    for rule in [other, labelled] {
        let offer = Offer::build(&rule, &exports, &none);
        assert!(offer.catalog.services.is_empty());
        let refused = offer.table.allows(&target(web(), 80, None));
        assert_eq!(refused, Err(Refusal::NotExported));
    }
}

#[test]
fn a_namespace_is_selected_by_its_labels() {
    let exports = exports(&[]);
    let rule = rule(&json!({"namespaces": {"selector": {"matchLabels": {"shared": "yes"}}}}));
    let labels = |value: &str| {
        let labels = BTreeMap::from([("shared".to_owned(), value.to_owned())]);
        NamespaceLabels::from_iter([("shop".into(), Arc::new(labels))])
    };
    assert_eq!(Offer::build(&rule, &exports, &labels("yes")).catalog.services.len(), 1);
    assert_eq!(Offer::build(&rule, &exports, &labels("no")).catalog.services.len(), 0);
}

#[test]
fn a_refusal_says_what_is_missing() {
    let offer = offer(&[]);
    let ask = |service, port, id| offer.table.allows(&target(service, port, id)).unwrap_err();
    assert_eq!(ask(Name::new("shop", "db"), 80, None), Refusal::NotExported);
    assert_eq!(ask(web(), 81, None), Refusal::NoSuchPort);
    assert_eq!(ask(web(), 80, None), Refusal::NoEndpoint);
    assert_eq!(ask(web(), 80, Some(EndpointId("x".into()))), Refusal::NoEndpoint);
}

#[test]
fn a_udp_port_is_told_of_and_not_reached() {
    let udp = json!({"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}});
    let mut exports = Exports::default();
    let declared = service_export(&json!({}));
    exports.update(&web(), Some(&declared), Some(&service(&udp)), Some(&slices(&[])));
    let offer = Offer::build(&ExportRule::default(), &exports, &NamespaceLabels::new());
    assert_eq!(offer.catalog.services[&web()].ports.len(), 1);
    assert_eq!(offer.table.allows(&target(web(), 53, None)), Err(Refusal::NoSuchPort));
}

#[test]
fn an_export_goes_with_its_object_and_its_service() {
    let mut exports = exports(&[]);
    exports.update(&web(), Some(&service_export(&json!({}))), None, None);
    assert!(exports.services.is_empty());
    assert_eq!(exports.rejections.len(), 1);
    exports.update(&web(), None, None, None);
    assert!(exports.rejections.is_empty());
}

#[test]
fn what_did_not_change_keeps_its_place_in_memory() {
    let mut exports = exports(&[ready("a", "10.0.0.1")]);
    let before = Arc::clone(&exports.services[&web()]);
    let (declared, service) = (service_export(&json!({})), service(&json!({})));
    let slices = slices(&[ready("a", "10.0.0.1")]);
    exports.update(&web(), Some(&declared), Some(&service), Some(&slices));
    assert!(Arc::ptr_eq(&before.service, &exports.services[&web()].service));
}
