//! Routes: where they attach, what their backends are, and what a bad part costs.

use super::world::*;

fn check(spec: &str, condition: &str, wanted: &str) {
    let world = world(&[&gateway(HTTP), &route("r", spec)]);
    assert_eq!(world.route("r", condition), wanted, "{spec}");
}

#[test]
fn a_route_names_an_existing_listener() {
    let parent = |parent: &str, wanted| {
        let route = route("r", "rules: []")
            .replace("namespace: infra}", &format!("namespace: infra, {parent}}}"));
        assert_eq!(world(&[&gateway(HTTP), &route]).route("r", "Accepted"), wanted, "{parent}");
    };
    parent("sectionName: http", "true/Accepted");
    parent("sectionName: x", "false/NoMatchingParent");
    parent("port: 80", "true/Accepted");
    parent("port: 81", "false/NoMatchingParent");
    parent("sectionName: http, port: 81", "false/NoMatchingParent");
}

#[test]
fn host_names_of_route_and_listener_meet() {
    let listener = HTTP.replace("port: 80", "port: 80, hostname: '*.a.io'");
    let check = |host: &str, wanted| {
        let spec = format!("hostnames: ['{host}'], rules: []");
        let world = world(&[&gateway(&listener), &route("r", &spec)]);
        assert_eq!(world.route("r", "Accepted"), wanted, "{host}");
    };
    check("x.a.io", "true/Accepted");
    check("*.io", "true/Accepted");
    check("*.x.a.io", "true/Accepted");
    check("a.io", "false/NoMatchingListenerHostname");
    check("b.io", "false/NoMatchingListenerHostname");
}

#[test]
fn a_backend_that_is_not_there_answers_500_with_its_weight() {
    let spec = "rules: [{backendRefs: [{name: web, port: 80, weight: 9}, {name: none, port: 80, weight: 1}]}]";
    let world = world(&[&gateway(HTTP), &route("r", spec)]);
    assert_eq!(world.route("r", "Accepted"), "true/Accepted");
    assert_eq!(world.route("r", "ResolvedRefs"), "false/BackendNotFound");
    assert_eq!(world.get(20080, "a.io", "/"), "9 Service shop/web:80, 1 invalid");
}

#[test]
fn backends_have_the_right_kind_and_protocol() {
    let backend = |backend: &str, wanted| {
        check(&format!("rules: [{{backendRefs: [{{{backend}}}]}}]"), "ResolvedRefs", wanted);
    };
    backend("name: web, port: 80", "true/ResolvedRefs");
    backend("name: web, port: 81", "false/BackendNotFound");
    backend("name: web, port: 53", "false/BackendNotFound");
    backend("name: web, port: 443", "false/UnsupportedProtocol");
    backend("name: web, kind: Odd, port: 80", "false/InvalidKind");
    backend("name: web, namespace: infra, port: 80", "false/RefNotPermitted");
}

#[test]
fn a_grant_opens_a_backend_of_another_namespace() {
    let spec = "rules: [{backendRefs: [{name: api, namespace: infra, port: 80}]}]";
    let api =
        "{kind: Service, metadata: {name: api, namespace: infra}, spec: {ports: [{port: 80}]}}";
    let grant = "{kind: ReferenceGrant, metadata: {name: g, namespace: infra}, spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: '', kind: Service}]}}";
    let world = world(&[&gateway(HTTP), &route("r", spec), api, grant]);
    assert_eq!(world.route("r", "ResolvedRefs"), "true/ResolvedRefs");
    assert_eq!(world.get(20080, "a.io", "/"), "1 Service infra/api:80");
}

#[test]
fn an_external_name_is_not_followed() {
    let out = "{kind: Service, metadata: {name: out, namespace: shop}, spec: {type: ExternalName, externalName: x.io, ports: [{port: 80}]}}";
    let world = world(&[
        &gateway(HTTP),
        &route("r", "rules: [{backendRefs: [{name: out, port: 80}]}]"),
        out,
    ]);
    assert_eq!(world.route("r", "ResolvedRefs"), "false/BackendNotFound");
    assert_eq!(world.get(20080, "a.io", "/"), "1 invalid");
}

#[test]
fn filters_that_are_not_built_reject_the_route() {
    for filter in [
        "{type: RequestRedirect, requestRedirect: {scheme: https}}",
        "{type: URLRewrite, urlRewrite: {hostname: x.io}}",
        "{type: ExtensionRef, extensionRef: {group: x, kind: Auth, name: z}}",
    ] {
        let spec =
            format!("rules: [{{filters: [{filter}], backendRefs: [{{name: web, port: 80}}]}}]");
        let world = world(&[&gateway(HTTP), &route("r", &spec)]);
        assert_eq!(world.route("r", "Accepted"), "false/UnsupportedValue", "{filter}");
        assert_eq!(world.get(20080, "a.io", "/"), "404", "{filter}");
        assert_eq!(world.attached("http"), 0);
    }
}

#[test]
fn a_rule_that_cannot_be_served_leaves_its_siblings_alone() {
    let spec = "rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}, \
        {backendRefs: [{name: web, port: 80}]}]";
    let world = world(&[&gateway(HTTP), &route("r", spec)]);
    assert_eq!(world.route("r", "Accepted"), "true/Accepted");
    assert_eq!(world.route("r", "PartiallyInvalid"), "true/UnsupportedValue");
    assert_eq!(world.get(20080, "a.io", "/old"), "1 invalid");
    assert_eq!(world.get(20080, "a.io", "/new"), "1 Service shop/web:80");
}

#[test]
fn header_filters_change_nothing_of_framing_and_connection() {
    let filter = |name: &str, wanted| {
        let spec = format!(
            "rules: [{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: {name}, value: x}}]}}}}]}}]"
        );
        check(&spec, "Accepted", wanted);
    };
    filter("x-color", "true/Accepted");
    filter("Content-Length", "false/UnsupportedValue");
    for name in ["transfer-encoding", "connection", "Upgrade", "keep-alive", "te", "Host"] {
        filter(name, "false/UnsupportedValue");
    }
    for name in ["http2-settings", "proxy", "Proxy-Connection", "proxy-authenticate"] {
        filter(name, "false/UnsupportedValue");
    }
    filter("'a b'", "false/UnsupportedValue");
}

#[test]
fn a_header_filter_writes_no_control_character() {
    for (value, wanted) in [
        ("a\\tb", "true/Accepted"),
        ("a\\rb", "false/UnsupportedValue"),
        ("a\\nb", "false/UnsupportedValue"),
        ("a\\0b", "false/UnsupportedValue"),
        ("a\\x01b", "false/UnsupportedValue"),
        ("a\\x7fb", "false/UnsupportedValue"),
    ] {
        let spec = format!(
            "rules: [{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-a, value: \"{value}\"}}]}}}}]}}]"
        );
        check(&spec, "Accepted", wanted);
    }
}

#[test]
fn a_regular_expression_that_is_too_large_rejects_its_rule() {
    let spec = "rules: [{matches: [{path: {type: RegularExpression, value: '/(a{1000}){1000}'}}]}]";
    check(spec, "Accepted", "false/UnsupportedValue");
}

#[test]
fn a_rule_without_backends_answers_500() {
    let world = world(&[&gateway(HTTP), &route("r", "rules: [{matches: [{path: {value: /a}}]}]")]);
    assert_eq!(world.route("r", "ResolvedRefs"), "true/ResolvedRefs");
    assert_eq!(world.get(20080, "a.io", "/a"), "nobody");
}

#[test]
fn a_duration_is_read_as_the_gateway_api_says() {
    use super::super::http_route::duration;
    let millis = |text| duration(text).map(|one| one.as_millis());
    assert_eq!(millis("1h2m3s4ms"), Some(3_723_004));
    assert_eq!(millis("0s"), Some(0));
    assert_eq!([millis(""), millis("10"), millis("1.5s"), millis("s")], [None; 4]);
}
