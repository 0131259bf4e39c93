//! HTTPS listeners: the name in the ClientHello decides.

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use support::client::{Tls, connect_tls, shown};
use support::cluster::{Cluster, gateway, route, service};
use support::endpoint::{Echo, Endpoint};

/// A certificate of its own for these names.
fn certificate(names: &[&str]) -> (String, String, Vec<u8>) {
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = CertificateParams::new(names).expect("names").self_signed(&key).expect("signed");
    (made.pem(), key.serialize_pem(), made.der().to_vec())
}

fn secret(name: &str, chain: &str, key: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    format!(
        "{{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {{name: {name}, namespace: infra}}, \
         data: {{tls.crt: {}, tls.key: {}}}}}\n---\n",
        encode(chain),
        encode(key)
    )
}

fn https(name: &str, host: &str) -> String {
    format!(
        "{{name: {name}, protocol: HTTPS, port: 443, hostname: {host}, \
         tls: {{certificateRefs: [{{name: {name}}}]}}, allowedRoutes: {{namespaces: {{from: All}}}}}}"
    )
}

const GET: &str = "HTTP/1.1\r\nHost: ";

#[tokio::test]
async fn the_name_chooses_the_certificate_and_another_listeners_host_is_misdirected() {
    let echo = Echo::start("ok").await;
    let (one, one_key, one_der) = certificate(&["one.example"]);
    let (two, two_key, two_der) = certificate(&["two.example"]);
    let yaml =
        gateway("gw", &format!("{}, {}", https("one", "one.example"), https("two", "two.example")))
            + &secret("one", &one, &one_key)
            + &secret("two", &two, &two_key)
            + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
            + &service("web", "", &[echo.address]);
    let cluster = Cluster::start("east", &yaml).await;
    let address = cluster.port("infra/gw", 443).await;
    for (name, other, der) in
        [("one.example", "two.example", one_der), ("two.example", "one.example", two_der)]
    {
        let tls = Tls { name, ..Tls::default() };
        let mut client = connect_tls(address, tls).await.expect("a certificate for the name");
        assert_eq!(shown(&client), der, "{name}");
        client.send(format!("GET / {GET}{name}\r\n\r\n")).await;
        assert_eq!(client.answer().await.body, "ok");
        client.send(format!("GET / {GET}{other}\r\n\r\n")).await;
        assert_eq!(client.answer().await.status(), 421);
    }
    for name in ["three.example", "127.0.0.1"] {
        let tls = Tls { name, ..Tls::default() };
        assert!(connect_tls(address, tls).await.is_err(), "nobody has {name}");
    }
    cluster.end().await;
}

#[tokio::test]
async fn a_tls_route_copies_the_bytes_to_the_endpoint() {
    let endpoint = Endpoint::start().await;
    let listener = "{name: tls, protocol: TLS, port: 443, hostname: pass.example, tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}";
    let yaml = gateway("gw", listener)
        + "{apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: {name: pass, namespace: shop}, spec: \
           {parentRefs: [{name: gw, namespace: infra}], hostnames: [pass.example], rules: [{backendRefs: [{name: web, port: 80}]}]}}\n---\n"
        + &service("web", "", &[endpoint.address]);
    let cluster = Cluster::start("east", &yaml).await;
    let address = cluster.port("infra/gw", 443).await;
    let client = tokio::spawn(async move {
        connect_tls(address, Tls { name: "pass.example", ..Tls::default() }).await.map(drop)
    });
    let mut server = endpoint.accept().await;
    let hello = server.until("pass.example").await;
    assert_eq!(hello.as_bytes().first(), Some(&0x16));
    server.reset();
    assert!(client.await.expect("no panic").is_err());
    endpoint.left_alone().await;
    cluster.end().await;
}

#[tokio::test]
async fn a_client_without_the_certificate_that_is_asked_for_is_turned_away() {
    let echo = Echo::start("ok").await;
    let (one, one_key, _) = certificate(&["one.example"]);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
        .expect("an authority");
    let bundle = authority.pem().trim().replace('\n', "\n    ");
    let listener = https("one", "one.example");
    let yaml = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: infra}}
spec:
  gatewayClassName: spanway
  listeners: [{listener}]
  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{group: '', kind: ConfigMap, name: clients}}]}}}}}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: clients, namespace: infra}}
data:
  ca.crt: |
    {bundle}
---
"
    ) + &secret("one", &one, &one_key)
        + &route("web", "gw", "rules: [{backendRefs: [{name: web, port: 80}]}]")
        + &service("web", "", &[echo.address]);
    let cluster = Cluster::start("east", &yaml).await;
    let address = cluster.port("infra/gw", 443).await;
    let identity = |issuer: Option<&CertifiedIssuer<'_, KeyPair>>| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["client.example".to_owned()]).expect("a name");
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let made = match issuer {
            Some(issuer) => params.signed_by(&key, issuer),
            None => params.self_signed(&key),
        };
        let chain = vec![CertificateDer::from(made.expect("signed").der().to_vec())];
        (chain, PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
    };
    let mut client = connect_tls(
        address,
        Tls { name: "one.example", identity: Some(identity(Some(&authority))), ..Tls::default() },
    )
    .await
    .expect("a client that is known");
    client.send(format!("GET / {GET}one.example\r\n\r\n")).await;
    assert_eq!(client.answer().await.body, "ok");
    for identity in [None, Some(identity(None))] {
        let tls = Tls { name: "one.example", identity, ..Tls::default() };
        // In TLS 1.3 a client learns only behind its own end of the handshake.
        if let Ok(mut client) = connect_tls(address, tls).await {
            drop(client.try_send(format!("GET / {GET}one.example\r\n\r\n")).await);
            assert_eq!(client.rest().await.0, "");
        }
    }
    assert_eq!(echo.connections(), 1);
    cluster.end().await;
}
