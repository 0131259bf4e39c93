//! Which certificate a client gets, which client gets in, and what is no certificate.

use rcgen::{CertificateParams, KeyPair, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::identity::authority::to_pem;
use crate::tls::stream::{accept, connect};
use crate::tls::testing::{Holder, Root, WITHIN, install, leaf_params, tcp_pair};

fn host(name: &str) -> CertificateParams {
    let mut params = leaf_params("spiffe://unused/a");
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    params
}

fn pem(holder: &Holder) -> (String, String) {
    (holder.chain.iter().map(to_pem).collect(), holder.key.serialize_pem())
}

fn refused(chain: &str, key: &str) -> UnusableCertificate {
    install();
    certified_key(chain.as_bytes(), key.as_bytes()).map(drop).unwrap_err()
}

/// A client's handshake and one byte from the server, which in TLS 1.3 is its verdict.
async fn visit(
    server: &Arc<ServerConfig>,
    root: &Root,
    name: &str,
    client: Option<&Holder>,
) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der.clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider::public())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(holder) => builder.with_client_cert_resolver(Arc::new(
            rustls::sign::SingleCertAndKey::from(holder.certified()),
        )),
    };
    let (near, far) = tcp_pair().await;
    let serving = async {
        if let Ok(mut stream) = accept(Arc::clone(server), far, WITHIN).await {
            stream.write_all(b"!").await.ok();
            stream.flush().await.ok();
        }
    };
    let visiting = async {
        let name = name.to_owned().try_into().unwrap();
        let mut stream = connect(Arc::new(config), name, near, b"", WITHIN).await.ok()?;
        stream.read_u8().await.ok()?;
        stream.peer_chain().first().cloned()
    };
    tokio::join!(serving, visiting).1
}

#[test]
fn chain_and_key_that_belong_together_are_a_certificate() {
    install();
    let root = Root::new("root");
    let (chain, key) = pem(&root.sign(&host("web.example")).with(&[&root]));
    assert_eq!(certified_key(chain.as_bytes(), key.as_bytes()).unwrap().cert.len(), 2);
}

#[test]
fn half_a_certificate_is_none() {
    let (chain, key) = pem(&Root::new("root").sign(&host("web.example")));
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(refused("", &key), UnusableCertificate::NoCertificate);
    assert_eq!(refused(&chain, ""), UnusableCertificate::NoKey);
    assert_eq!(refused(&chain, &chain), UnusableCertificate::NoKey);
    assert_eq!(refused(&chain, &other), UnusableCertificate::KeyMismatch);
    let half = &key[..key.len() / 2];
    assert!(matches!(refused(&chain, half), UnusableCertificate::Key(_)), "half a key");
    let half = &chain[..chain.len() / 2];
    assert!(matches!(refused(half, &key), UnusableCertificate::Certificate(_)));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(garbage, &key), UnusableCertificate::Certificate(_)));
    let large = "x".repeat(MAX_PEM_BYTES + 1);
    assert_eq!(refused(&large, &key), UnusableCertificate::TooLarge(MAX_PEM_BYTES + 1));
}

#[tokio::test]
async fn the_name_asked_for_chooses_the_certificate() {
    install();
    let root = Root::new("root");
    let names = ["a.example", "b.example", "*.c.example"];
    let holders = names.map(|name| root.sign(&host(name)));
    let keys = holders.iter().map(Holder::certified).collect();
    let server = server_config(keys, &ClientAuth::NotAsked).unwrap();
    for (name, holder) in ["a.example", "b.example", "x.c.example"].iter().zip(&holders) {
        let seen = visit(&server, &root, name, None).await;
        assert_eq!(seen.as_ref(), holder.chain.first(), "{name}");
    }
    assert_eq!(visit(&server, &root, "d.example", None).await, None);
}

#[tokio::test]
async fn a_listener_that_wants_certificates_lets_in_those_of_its_authorities() {
    install();
    let (root, clients) = (Root::new("root"), Root::new("clients"));
    let authorities: Arc<[Arc<[u8]>]> = [clients.der.to_vec().into()].into();
    let keys = vec![root.sign(&host("a.example")).certified()];
    let server = server_config(keys, &ClientAuth::Required(authorities)).unwrap();
    let good = clients.sign(&host("client"));
    let bad = root.sign(&host("client"));
    assert!(visit(&server, &root, "a.example", Some(&good)).await.is_some());
    assert!(visit(&server, &root, "a.example", Some(&bad)).await.is_none());
    assert!(visit(&server, &root, "a.example", None).await.is_none());
}

#[tokio::test]
async fn a_listener_that_falls_back_lets_everybody_in() {
    install();
    let (root, clients) = (Root::new("root"), Root::new("clients"));
    let authorities: Arc<[Arc<[u8]>]> = [clients.der.to_vec().into()].into();
    let keys = vec![root.sign(&host("a.example")).certified()];
    let server = server_config(keys, &ClientAuth::Fallback(authorities)).unwrap();
    for client in [None, Some(&clients), Some(&root)] {
        let client = client.map(|root| root.sign(&host("client")));
        assert!(visit(&server, &root, "a.example", client.as_ref()).await.is_some());
    }
}

#[test]
fn a_listener_that_could_let_nobody_in_is_none() {
    install();
    let keys = || vec![Root::new("root").sign(&host("a.example")).certified()];
    for authorities in [vec![], vec![Arc::from([1_u8, 2, 3])]] {
        let made = server_config(keys(), &ClientAuth::Required(authorities.into()));
        assert!(matches!(made, Err(UnusableListener::ClientAuthorities(_))), "{made:?}");
    }
}
