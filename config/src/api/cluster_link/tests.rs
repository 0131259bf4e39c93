//! The rules of a link's fields.

use kube::CustomResourceExt;

use super::*;

fn link(spec: &serde_json::Value) -> ClusterLink {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "spanway.dev/v1alpha1",
        "kind": "ClusterLink",
        "metadata": {"name": "west"},
        "spec": spec,
    }))
    .expect("the link reads")
}

#[test]
fn a_link_needs_addresses_and_a_trust_domain_and_nothing_else() {
    let link = link(&serde_json::json!({"addresses": ["10.0.0.1"], "trustDomain": "west.example"}));
    assert_eq!(link.cluster(), "west");
    assert_eq!(
        link.gateways(),
        ["gateway", "controller"]
            .map(|who| format!("spiffe://west.example/ns/spanway-system/sa/spanway-{who}"))
    );
    assert_eq!(link.spec.staleness.then, WhenStale::Degrade);
    assert_eq!(link.spec.quotas.services, DEFAULT_MAX_SERVICES);
    assert!(link.spec.import.rules.is_empty(), "no mirrored Service unless asked for");
}

#[test]
fn no_namespaces_means_all_and_either_a_name_or_a_label_is_enough() {
    let team = |key: &str| (key == "team").then_some("a");
    let none = |_: &str| None;
    assert!(Namespaces::default().contains("shop", none));
    let some: Namespaces = serde_json::from_value(serde_json::json!({
        "names": ["shop"],
        "selector": {"matchLabels": {"team": "a"}},
    }))
    .expect("reads");
    assert!(some.contains("shop", none));
    assert!(some.contains("other", team));
    assert!(!some.contains("other", none));
}

#[test]
fn expressions_mean_what_kubernetes_means_by_them() {
    let labels = |key: &str| (key == "a").then_some("1");
    let check = |key: &str, operator: Operator, values: &[&str], expected: bool| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        let expression = Expression { key: key.to_owned(), operator, values };
        let selector = Selector { match_expressions: vec![expression], ..Selector::default() };
        assert_eq!(selector.matches(labels), expected, "{selector:?}");
    };
    check("a", Operator::In, &["1", "2"], true);
    check("a", Operator::In, &["2"], false);
    check("b", Operator::In, &["1"], false);
    check("a", Operator::NotIn, &["1"], false);
    check("b", Operator::NotIn, &["1"], true);
    check("a", Operator::Exists, &[], true);
    check("b", Operator::DoesNotExist, &[], true);
}

#[test]
fn the_charts_definition_is_the_one_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/spanway/crds/clusterlinks.yaml");
    let committed = std::fs::read_to_string(path).expect("the chart has the definition");
    let committed: serde_json::Value = serde_saphyr::from_str(&committed).expect("it is YAML");
    let current = serde_json::to_value(ClusterLink::crd()).expect("it is JSON");
    assert_eq!(committed, current, "run `cargo run -p spanway-config --bin crds`");
}
