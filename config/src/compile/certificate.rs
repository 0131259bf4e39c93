//! Certificates of listeners, read from Secrets.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::public_key::PublicKey;

use super::gateway::Needs;
use super::grant::{Side, permits};
use super::reference::{CertificateRef, GATEWAY_GROUP};
use super::world::World;
use crate::model::{Kind, Name, ObjectRef};
use crate::verdict::Rejected;

/// A certificate as it is signed.
pub(super) type Der = Arc<[u8]>;

/// A certificate chain and its private key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificatePem {
    /// The chain, the leaf first.
    pub chain: Arc<[u8]>,
    /// The private key.
    pub key: Arc<[u8]>,
}

impl fmt::Debug for CertificatePem {
    // A key must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificatePem").finish_non_exhaustive()
    }
}

/// Reads the Secret that a listener of `gateway` refers to, and notes that it is wanted.
pub(super) fn of_listener(
    world: &World<'_>,
    gateway: &Name,
    reference: &CertificateRef,
    needs: &mut Needs,
) -> Result<Name, Rejected> {
    let invalid = |message| Rejected::new("InvalidCertificateRef", message);
    if !reference.group.is_empty() || reference.kind != "Secret" {
        let message = format!("a certificate of kind {} is not supported", reference.kind);
        return Err(invalid(message));
    }
    let name = permitted(world, gateway, reference)?;
    needs.wanted.insert(ObjectRef::new(Kind::Secret, name.clone()));
    let missing = || invalid(format!("Secret {name} does not exist, or may not be read"));
    let secret = world.secret(&name).ok_or_else(missing)?;
    let pem = read(secret).map_err(|what| invalid(format!("Secret {name}: {what}")))?;
    needs.certificates.insert(name.clone(), Arc::new(pem));
    Ok(name)
}

/// The object that is meant, if the Gateway may refer to it.
pub(super) fn permitted(
    world: &World<'_>,
    gateway: &Name,
    reference: &CertificateRef,
) -> Result<Name, Rejected> {
    let namespace = reference.namespace.as_deref().unwrap_or(&gateway.namespace);
    let name = Name::new(namespace, &reference.name);
    let kind = &reference.kind;
    let from = Side { group: GATEWAY_GROUP, kind: "Gateway", name: gateway };
    if permits(world, from, Side { group: &reference.group, kind, name: &name }) {
        return Ok(name);
    }
    let message =
        format!("no ReferenceGrant in `{namespace}` lets Gateway {gateway} refer to {kind} {name}");
    Err(Rejected::new("RefNotPermitted", message))
}

fn read(secret: &Secret) -> Result<CertificatePem, String> {
    if secret.type_.as_deref().is_some_and(|kind| kind != "kubernetes.io/tls") {
        return Err("its type is not kubernetes.io/tls".to_owned());
    }
    let field = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
        let text = secret.string_data.as_ref().and_then(|data| data.get(key));
        data.or_else(|| text.map(|text| text.clone().into_bytes()))
            .ok_or_else(|| format!("it has no `{key}`"))
    };
    let (chain, key) = (field("tls.crt")?, field("tls.key")?);
    let all = certificates(&chain).map_err(|what| format!("`tls.crt` {what}"))?;
    let private = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| format!("`tls.key` holds no private key that can be read: {error}"))?;
    if all.first().is_some_and(|leaf| is_of_another(private.secret_der(), leaf)) {
        return Err("`tls.key` is not the key of the first certificate in `tls.crt`".to_owned());
    }
    Ok(CertificatePem { chain: chain.into(), key: key.into() })
}

/// Whether the private key is visibly that of another certificate: an RSA key holds its modulus,
/// an EC key nearly always its public point. Where nothing can be seen, the handshake decides.
fn is_of_another(key: &[u8], leaf: &[u8]) -> bool {
    let holds = |part: &[u8]| !part.is_empty() && key.windows(part.len()).any(|one| one == part);
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(leaf) else {
        return false;
    };
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(public)) => {
            let zeros = public.modulus.iter().take_while(|byte| **byte == 0).count();
            !holds(public.modulus.get(zeros..).unwrap_or_default())
        }
        Ok(PublicKey::EC(point)) => {
            // The head of a bit string with an uncompressed point: P-256, P-384.
            let has_point = holds(&[0x03, 0x42, 0x00, 0x04]) || holds(&[0x03, 0x62, 0x00, 0x04]);
            has_point && !holds(point.data())
        }
        _ => false,
    }
}

/// The certificates in `pem`, at least one, each of them well-formed.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Der>, String> {
    let mut all = Vec::new();
    for one in CertificateDer::pem_slice_iter(pem) {
        let one = one.map_err(|error| format!("is no PEM: {error}"))?;
        x509_parser::parse_x509_certificate(&one)
            .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
        all.push(one.as_ref().into());
    }
    if all.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(all) }
}
