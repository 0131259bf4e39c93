//! Listeners: what they speak, whom they let in, and when they conflict.

use super::world::*;
use crate::model::{Kind, Name, ObjectRef};

const HTTPS: &str = "{name: https, protocol: HTTPS, port: 443, hostname: a.io, \
    tls: {certificateRefs: [{name: cert}]}, allowedRoutes: {namespaces: {from: All}}}";
const TO_WEB: &str = "rules: [{backendRefs: [{name: web, port: 80}]}]";
const WEB: &str = "1 Service shop/web:80";

#[test]
fn a_route_on_a_listener_is_served_on_its_container_port() {
    let world = world(&[&gateway(HTTP), &route("r", TO_WEB)]);
    assert_eq!(world.get(20080, "a.io", "/"), WEB);
    assert_eq!(world.gateway("Accepted"), "true/Accepted");
    assert_eq!(world.listener("http", "Accepted"), "true/Accepted");
    assert_eq!(world.route("r", "Accepted"), "true/Accepted");
    assert_eq!(world.route("r", "ResolvedRefs"), "true/ResolvedRefs");
    assert_eq!(world.attached("http"), 1);
    assert_eq!(world.compiled.table.port(20080).unwrap().owner.port, 80);
}

#[test]
fn two_gateways_with_the_same_port_and_host_do_not_mix() {
    let other = "{kind: Gateway, metadata: {name: other, namespace: infra, uid: other-uid}, spec: {gatewayClassName: spanway, listeners: [{name: http, protocol: HTTP, port: 80}]}}";
    let world = world(&[&gateway(HTTP), other, &route("r", TO_WEB)]);
    assert_eq!(world.get(20080, "a.io", "/"), WEB);
    assert_eq!(world.get(20081, "a.io", "/"), "404");
}

#[test]
fn a_gateway_of_another_controller_gets_nothing() {
    let class =
        "{kind: GatewayClass, metadata: {name: spanway}, spec: {controllerName: example.com/x}}";
    let world = world(&[class, &gateway(HTTP), &route("r", TO_WEB)]);
    assert!(world.compiled.verdicts.gateways.is_empty());
    assert_eq!(world.route("r", "Accepted"), "no parent");
    assert_eq!(world.get(20080, "a.io", "/"), "closed");
}

#[test]
fn a_port_that_is_not_allotted_is_wanted() {
    let world = world(&[&gateway("{name: http, protocol: HTTP, port: 8080}")]);
    let (owner, name) = &world.compiled.wanted_ports[0];
    assert_eq!((&*owner.uid, owner.port, name.to_string().as_str()), ("gw-uid", 8080, "infra/gw"));
}

#[test]
fn an_unknown_protocol_costs_its_listener_only() {
    let listeners = format!("{HTTP}, {{name: odd, protocol: INVALID, port: 1111}}");
    let world = world(&[&gateway(&listeners), &route("r", TO_WEB)]);
    assert_eq!(world.listener("odd", "Accepted"), "false/UnsupportedProtocol");
    assert_eq!(world.gateway("Accepted"), "true/ListenersNotValid");
    assert_eq!(world.get(20080, "a.io", "/"), WEB);
}

#[test]
fn a_gateway_without_a_valid_listener_is_not_accepted() {
    let world = world(&[&gateway("{name: odd, protocol: INVALID, port: 1111}")]);
    assert_eq!(world.gateway("Accepted"), "false/ListenersNotValid");
}

#[test]
fn tls_is_not_terminated_by_a_tls_listener() {
    let listener = "{name: tls, protocol: TLS, port: 443, tls: {certificateRefs: [{name: cert}]}}";
    let world = world(&[&gateway(listener)]);
    assert_eq!(world.listener("tls", "Accepted"), "false/UnsupportedValue");
}

#[test]
fn listeners_with_the_same_port_and_host_conflict() {
    let world = world(&[&gateway(
        "{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTP, port: 80}",
    )]);
    for name in ["a", "b"] {
        assert_eq!(world.listener(name, "Conflicted"), "true/HostnameConflict");
        assert_eq!(world.listener(name, "Accepted"), "false/HostnameConflict");
    }
    assert_eq!(world.get(20080, "a.io", "/"), "closed");
}

#[test]
fn http_and_https_on_one_port_conflict() {
    let listeners = "{name: a, protocol: HTTP, port: 80}, {name: b, protocol: HTTPS, port: 80}";
    let world = world(&[&gateway(listeners)]);
    assert_eq!(world.listener("a", "Conflicted"), "true/ProtocolConflict");
    assert_eq!(world.listener("b", "Conflicted"), "true/ProtocolConflict");
}

#[test]
fn https_needs_a_certificate_and_still_counts_routes() {
    let world = world(&[&gateway(HTTPS), &route("r", TO_WEB)]);
    assert_eq!(world.listener("https", "ResolvedRefs"), "false/InvalidCertificateRef");
    assert_eq!(world.listener("https", "Accepted"), "true/Accepted");
    assert_eq!(world.attached("https"), 1);
    assert_eq!(world.get(20443, "a.io", "/"), "nobody");
    let wanted = ObjectRef::new(Kind::Secret, Name::new("infra", "cert"));
    assert!(world.compiled.wanted.contains(&wanted));
}

#[test]
fn https_is_terminated_with_the_certificate_of_its_secret() {
    let world = world_with(&[&gateway(HTTPS), &route("r", TO_WEB)], vec![secret(KEY)]);
    assert_eq!(world.listener("https", "ResolvedRefs"), "true/ResolvedRefs");
    assert_eq!(world.get(20443, "a.io", "/"), WEB);
    assert_eq!(world.get(20443, "b.io", "/"), "closed");
    assert!(world.compiled.certificates.contains_key(&Name::new("infra", "cert")));
}

#[test]
fn half_a_key_is_an_invalid_certificate() {
    let half = KEY.split_once("MAA").unwrap().0;
    let world = world_with(&[&gateway(&format!("{HTTP}, {HTTPS}"))], vec![secret(half)]);
    assert_eq!(world.listener("https", "ResolvedRefs"), "false/InvalidCertificateRef");
    assert_eq!(world.listener("http", "ResolvedRefs"), "true/ResolvedRefs");
    assert!(world.compiled.certificates.is_empty());
}

#[test]
fn a_secret_of_another_namespace_needs_a_grant_even_if_it_is_absent() {
    let listener = HTTPS.replace("{name: cert}", "{name: cert, namespace: vault}");
    let world = world(&[&gateway(&listener)]);
    assert_eq!(world.listener("https", "ResolvedRefs"), "false/RefNotPermitted");
    assert!(world.compiled.wanted.is_empty());
}

#[test]
fn a_grant_opens_a_secret_by_namespace_kind_and_name() {
    let listener = HTTPS.replace("{name: cert}", "{name: cert, namespace: vault}");
    let grant = |from: &str, to: &str| {
        format!(
            "{{kind: ReferenceGrant, metadata: {{name: g, namespace: vault}}, spec: {{\
             from: [{{group: gateway.networking.k8s.io, {from}}}], to: [{{group: '', {to}}}]}}}}"
        )
    };
    let check = |from, to, wanted| {
        let world = world(&[&gateway(&listener), &grant(from, to)]);
        assert_eq!(world.listener("https", "ResolvedRefs"), wanted, "{from} {to}");
    };
    let (open, closed) = ("false/InvalidCertificateRef", "false/RefNotPermitted");
    check("kind: Gateway, namespace: infra", "kind: Secret", open);
    check("kind: Gateway, namespace: infra", "kind: Secret, name: cert", open);
    check("kind: Gateway, namespace: infra", "kind: Secret, name: other", closed);
    check("kind: Gateway, namespace: shop", "kind: Secret", closed);
    check("kind: HTTPRoute, namespace: infra", "kind: Secret", closed);
    check("kind: Gateway, namespace: infra", "kind: Service", closed);
}

#[test]
fn unknown_kinds_of_routes_are_named_and_the_others_kept() {
    let listener = HTTP
        .replace("allowedRoutes: {", "allowedRoutes: {kinds: [{kind: Odd}, {kind: HTTPRoute}], ");
    let world = world(&[&gateway(&listener), &route("r", TO_WEB)]);
    assert_eq!(world.listener("http", "ResolvedRefs"), "false/InvalidRouteKinds");
    assert_eq!(world.attached("http"), 1);
}

#[test]
fn namespaces_are_let_in_by_name_and_label() {
    let check = |from: &str, wanted| {
        let world = world(&[&gateway(&HTTP.replace("from: All", from)), &route("r", TO_WEB)]);
        assert_eq!(world.route("r", "Accepted"), wanted, "{from}");
    };
    check("from: Same", "false/NotAllowedByListeners");
    check("from: Selector, selector: {matchLabels: {team: shop}}", "true/Accepted");
    check("from: Selector, selector: {matchLabels: {team: x}}", "false/NotAllowedByListeners");
}

#[test]
fn client_certificates_need_an_authority_that_can_be_read() {
    let gateway = gateway(HTTPS).replace(
        "listeners:",
        "tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}, listeners:",
    );
    let world = world_with(&[&gateway], vec![secret(KEY)]);
    assert_eq!(world.listener("https", "Accepted"), "false/NoValidCACertificate");
    assert_eq!(world.listener("https", "ResolvedRefs"), "false/InvalidCACertificateRef");
    assert_eq!(world.get(20443, "a.io", "/"), "closed");
}

#[test]
fn tls_is_passed_through_by_sni_and_its_names_are_kept_from_others() {
    let listeners = "{name: a, protocol: TLS, port: 443, hostname: '*.a.io', tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}, \
         {name: x, protocol: TLS, port: 443, hostname: x.a.io, tls: {mode: Passthrough}}";
    let tls = "{kind: TLSRoute, metadata: {name: t, namespace: shop}, spec: {hostnames: ['*.a.io'], parentRefs: [{name: gw, namespace: infra}], rules: [{backendRefs: [{name: web, port: 443}]}]}}";
    let world = world(&[&gateway(listeners), tls]);
    assert_eq!(world.route("t", "Accepted"), "true/Accepted");
    assert_eq!(world.get(20443, "y.a.io", "/"), "1 Service shop/web:443");
    assert_eq!(world.get(20443, "x.a.io", "/"), "nobody");
    assert_eq!(world.get(20443, "b.io", "/"), "closed");
}

#[test]
fn a_tls_route_needs_a_listener_that_speaks_tls() {
    let tls = "{kind: TLSRoute, metadata: {name: t, namespace: shop}, spec: {hostnames: [a.io], parentRefs: [{name: gw, namespace: infra}], rules: [{backendRefs: [{name: web, port: 443}]}]}}";
    let world = world(&[&gateway(HTTP), tls]);
    assert_eq!(world.route("t", "Accepted"), "false/NoMatchingParent");
    assert_eq!(world.attached("http"), 0);
}

#[test]
fn a_key_of_another_certificate_is_an_invalid_certificate() {
    let issued = || rcgen::generate_simple_self_signed(["a.io".to_owned()]).unwrap();
    let (one, other) = (issued(), issued());
    let check = |key: String, wanted| {
        let world =
            world_with(&[&gateway(HTTPS)], vec![secret_of(one.cert.pem().as_bytes(), &key)]);
        assert_eq!(world.listener("https", "ResolvedRefs"), wanted);
    };
    check(one.signing_key.serialize_pem(), "true/ResolvedRefs");
    check(other.signing_key.serialize_pem(), "false/InvalidCertificateRef");
}
