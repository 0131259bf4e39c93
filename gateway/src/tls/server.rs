//! The TLS of HTTPS listeners: a certificate by the name that a client asks for.

use std::sync::Arc;

use config::table::ClientAuth;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use thiserror::Error;

use super::provider;
use super::verifier::signatures;

#[cfg(test)]
mod tests;

/// Sessions that may be taken up again, per listener. Where clients present certificates each has
/// more than a KiB: all of them are 3 MiB at most.
const SESSIONS: usize = 2048;

/// The most bytes that a certificate or key may have: what a Secret can hold.
pub const MAX_PEM_BYTES: usize = 1024 * 1024;

/// The certificates of a listener; the names that clients ask for choose between them.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

/// Why a listener has no TLS.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnusableListener {
    /// None of its certificates can be used.
    #[error("none of its certificates can be used")]
    NoCertificate,
    /// No client could be let in, because no authority can be read.
    #[error("the authorities for client certificates cannot be used: {0}")]
    ClientAuthorities(String),
    /// rustls refuses the configuration.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
}

/// Why a pair of PEM texts is no server certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnusableCertificate {
    /// There is no certificate in it.
    #[error("there is no certificate")]
    NoCertificate,
    /// There is no private key in it.
    #[error("there is no private key")]
    NoKey,
    /// One of the texts is larger than [`MAX_PEM_BYTES`].
    #[error("{0} bytes are more than {MAX_PEM_BYTES}")]
    TooLarge(usize),
    /// The certificates cannot be read.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The key cannot be read.
    #[error("the private key cannot be read: {0}")]
    Key(String),
    /// The key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

/// Reads a chain and its private key, as a Secret of type `kubernetes.io/tls` holds them.
pub fn certified_key(
    chain_pem: &[u8],
    key_pem: &[u8],
) -> Result<Arc<CertifiedKey>, UnusableCertificate> {
    use UnusableCertificate as No;
    let chain = read_chain(chain_pem)?;
    if key_pem.len() > MAX_PEM_BYTES {
        return Err(No::TooLarge(key_pem.len()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => No::NoKey,
        error => No::Key(error.to_string()),
    })?;
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|error| No::Key(error.to_string()))?;
    let key = CertifiedKey::new(chain, signer);
    match key.keys_match() {
        Ok(()) => Ok(Arc::new(key)),
        Err(rustls::Error::InconsistentKeys(_)) => Err(No::KeyMismatch),
        Err(error) => Err(No::Certificate(error.to_string())),
    }
}

/// Reads certificates, as a bundle or a Secret holds them; at least one.
pub fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, UnusableCertificate> {
    use UnusableCertificate as No;
    if pem.len() > MAX_PEM_BYTES {
        return Err(No::TooLarge(pem.len()));
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| No::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(No::NoCertificate);
    }
    for certificate in &chain {
        webpki::EndEntityCert::try_from(certificate)
            .map_err(|error| No::Certificate(error.to_string()))?;
    }
    Ok(chain)
}

/// Makes a listener's TLS: 1.2 and 1.3, for HTTP/2 and HTTP/1.1.
pub fn server_config(
    certificates: Vec<Arc<CertifiedKey>>,
    clients: &ClientAuth,
) -> Result<Arc<ServerConfig>, UnusableListener> {
    let builder = ServerConfig::builder_with_provider(provider::public())
        .with_safe_default_protocol_versions()
        .map_err(|error| UnusableListener::Config(error.to_string()))?;
    let builder = match clients {
        ClientAuth::NotAsked => builder.with_no_client_auth(),
        ClientAuth::Required(authorities) => {
            builder.with_client_cert_verifier(valid_only(authorities)?)
        }
        ClientAuth::Fallback(_) => builder.with_client_cert_verifier(Arc::new(Anybody)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Certificates(certificates)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    offer_sessions(&mut config, SESSIONS);
    Ok(Arc::new(config))
}

/// Lets clients take up sessions, of which `most` are kept. A connection offers one: another follows
/// it, and is offered the next. Those that a browser opens side by side have none yet in any case.
pub(super) fn offer_sessions(config: &mut ServerConfig, most: usize) {
    config.session_storage = ServerSessionMemoryCache::new(most);
    config.send_tls13_tickets = 1;
}

fn valid_only(authorities: &[Arc<[u8]>]) -> Result<Arc<dyn ClientCertVerifier>, UnusableListener> {
    let unusable = |reason: String| UnusableListener::ClientAuthorities(reason);
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(CertificateDer::from(authority.to_vec()))
            .map_err(|error| unusable(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider::public())
        .build()
        .map_err(|error| unusable(error.to_string()))
}

// === impl Certificates ===

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let suits = |key: &&Arc<CertifiedKey>| {
            signs(key) && hello.server_name().is_none_or(|host| names(key, host))
        };
        // A certificate for another name is still better than none: the client judges.
        self.0.iter().find(suits).or_else(|| self.0.iter().find(signs)).cloned()
    }
}

fn names(key: &CertifiedKey, host: &str) -> bool {
    let (Some(leaf), Ok(host)) = (key.cert.first(), ServerName::try_from(host)) else {
        return false;
    };
    webpki::EndEntityCert::try_from(leaf)
        .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(&host).is_ok())
}

/// Asks for a certificate, and lets in whoever comes.
#[derive(Debug)]
struct Anybody;

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
