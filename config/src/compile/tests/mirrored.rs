//! Imports and mirrored Services: as backends, as parents, and their ports.

use super::world::*;

const IMPORT: &str = "{kind: ServiceImport, metadata: {name: web, namespace: shop}, spec: {type: ClusterSetIP, ports: [{port: 80}]}}";
const DERIVED: &str = "{kind: Service, metadata: {name: d, namespace: shop, uid: derived-uid, labels: {spanway.dev/managed-by: spanway, spanway.dev/derived-for: web}}, spec: {ports: [{port: 80, appProtocol: http}]}}";
const MIRROR: &str = "{kind: Service, metadata: {name: web-west, namespace: shop, uid: mirror-uid, labels: {spanway.dev/managed-by: spanway, spanway.dev/mirrored-for: web, spanway.dev/mirrored-from: west}}, spec: {ports: [{port: 80}]}}";

fn ruled(name: &str, namespace: &str, parent: &str, backend: &str) -> String {
    format!(
        "{{kind: HTTPRoute, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{parentRefs: [{{{parent}}}], \
         rules: [{{matches: [{{path: {{value: /r}}}}], backendRefs: [{{{backend}}}]}}]}}}}"
    )
}

const OF_IMPORT: &str = "group: multicluster.x-k8s.io, kind: ServiceImport, name: web";
const OF_MIRROR: &str = "group: '', kind: Service, name: web-west";
const LOCAL: &str = "name: web, port: 80";

#[test]
fn each_kind_of_backend_means_its_own_endpoints() {
    let to = |backend: &str, wanted: &str| {
        let spec = format!("rules: [{{backendRefs: [{{{backend}}}]}}]");
        let world = world(&[&gateway(HTTP), IMPORT, DERIVED, MIRROR, &route("r", &spec)]);
        assert_eq!(world.get(20080, "a.io", "/"), wanted, "{backend}");
    };
    to(LOCAL, "1 Service shop/web:80");
    to(
        "group: multicluster.x-k8s.io, kind: ServiceImport, name: web, port: 80",
        "1 ServiceImport shop/web:80",
    );
    to("name: web-west, port: 80", "1 mirrored Service shop/web-west:80");
    to("name: d, port: 80", "1 ServiceImport shop/web:80");
}

#[test]
fn a_service_of_ours_without_routes_leads_to_its_endpoints() {
    let world = world(&[IMPORT, DERIVED, MIRROR]);
    assert_eq!(world.get(20500, "web", "/"), "ServiceImport shop/web:80");
    assert_eq!(world.get(20501, "web", "/"), "mirrored Service shop/web-west:80");
}

#[test]
fn a_mirrored_service_follows_the_routes_of_its_import_if_it_has_none() {
    let of_import = ruled("i", "shop", OF_IMPORT, LOCAL);
    let world = world(&[IMPORT, DERIVED, MIRROR, &of_import]);
    assert_eq!(world.route("i", "Accepted"), "true/Accepted");
    for port in [20500, 20501] {
        assert_eq!(world.get(port, "any", "/r"), "1 Service shop/web:80");
        assert_eq!(world.get(port, "any", "/"), "404");
    }
}

#[test]
fn a_mirrored_service_follows_its_own_routes_alone() {
    let of_import = ruled("i", "shop", OF_IMPORT, LOCAL);
    let own = ruled("m", "shop", OF_MIRROR, "name: web-west, port: 80");
    let world = world(&[IMPORT, DERIVED, MIRROR, &of_import, &own]);
    assert_eq!(world.get(20501, "any", "/r"), "1 mirrored Service shop/web-west:80");
    assert_eq!(world.get(20500, "any", "/r"), "1 Service shop/web:80");
}

#[test]
fn a_route_of_another_namespace_changes_no_call() {
    let foreign = ruled("f", "infra", &format!("{OF_IMPORT}, namespace: shop"), LOCAL);
    let world = world(&[IMPORT, DERIVED, &foreign]);
    assert_eq!(world.route("f", "Accepted"), "false/NotAllowedByParent");
    assert_eq!(world.get(20500, "any", "/r"), "ServiceImport shop/web:80");
}

#[test]
fn a_plain_service_as_parent_is_not_ours() {
    let mesh = ruled("m", "shop", "group: '', kind: Service, name: web", LOCAL);
    assert_eq!(world(&[&mesh]).route("m", "Accepted"), "no parent");
}

#[test]
fn a_route_that_names_a_port_rules_that_port_only() {
    let parent = |port: u16| ruled("i", "shop", &format!("{OF_IMPORT}, port: {port}"), LOCAL);
    let world_80 = world(&[IMPORT, DERIVED, &parent(80)]);
    assert_eq!(world_80.get(20500, "any", "/"), "404");
    let world_81 = world(&[IMPORT, DERIVED, &parent(81)]);
    assert_eq!(world_81.route("i", "Accepted"), "false/NoMatchingParent");
    assert_eq!(world_81.get(20500, "any", "/"), "ServiceImport shop/web:80");
}
