//! A trust domain's authority: one key that signs short-lived X509-SVIDs.

use std::fmt;
use std::time::Duration;

use config::model::identity::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::tls::server::read_chain;
use crate::tls::svid::{Svid, UnusableSvid};

#[cfg(test)]
mod tests;

/// How long a new authority lasts: longer than anybody keeps a cluster without replacing it.
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);

/// How long an SVID lasts where nothing else is said: an authority may be away for hours.
pub const SVID_LIFE: Duration = Duration::from_hours(24);

/// How much earlier than now a certificate begins, for peers whose clocks are behind.
const BACKDATED: Duration = Duration::from_mins(2);

/// The largest request for a certificate; one with a P-256 key has less than 300 bytes.
pub const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// An authority: its certificate and the key that signs.
pub struct Authority {
    trust_domain: TrustDomain,
    certificate: CertificateDer<'static>,
    not_after: UnixTime,
    issuer: Issuer<'static, KeyPair>,
}

/// An authority as PEM, the way it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityPem {
    /// The certificate.
    pub certificate: String,
    /// The private key, as PKCS #8.
    pub key: String,
}

/// What does not follow from the name of a certificate's holder.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// When it is signed.
    pub now: UnixTime,
    /// How long it lasts from then.
    pub life: Duration,
    /// A number that no other certificate of the authority has: drawn at random.
    pub serial: [u8; 16],
}

/// A signed certificate.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The certificates, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// When the leaf ends.
    pub not_after: UnixTime,
}

/// Why there is no authority.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnusableAuthority {
    /// The certificate is absent, or cannot be read.
    #[error("the certificate of the authority cannot be used: {0}")]
    Certificate(String),
    /// The private key is absent, or cannot be read.
    #[error("the private key of the authority cannot be used: {0}")]
    Key(String),
    /// The private key is that of another certificate.
    #[error("the private key of the authority does not belong to its certificate")]
    KeyMismatch,
    /// It is the authority of somebody else.
    #[error("the authority is that of {found:?}, not of {expected:?}")]
    TrustDomain {
        /// Whose it should be.
        expected: String,
        /// Whose it is, as far as its certificate says.
        found: String,
    },
    /// Its time is over.
    #[error("the certificate of the authority has expired")]
    Expired,
    /// A certificate for it could not be made.
    #[error("no authority could be made: {0}")]
    Made(String),
}

/// Why a certificate was not signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// The request is larger than [`MAX_REQUEST_BYTES`].
    #[error("the request has {0} bytes, more than {MAX_REQUEST_BYTES}")]
    TooLarge(usize),
    /// The request cannot be read.
    #[error("the request cannot be read: {0}")]
    Request(String),
    /// Whoever asks does not hold the key.
    #[error("the request is not signed with its own key")]
    Signature,
    /// The key is of a kind that no SVID has here.
    #[error("the public key is neither of P-256 nor of P-384 nor of Ed25519")]
    KeyKind,
    /// The name is not one that this authority may give.
    #[error("{0} is not a workload of the authority's trust domain")]
    Foreign(SpiffeId),
    /// The authority itself ends before the certificate would begin.
    #[error("the authority has expired")]
    Expired,
    /// Signing failed.
    #[error("signing failed: {0}")]
    Signing(String),
    /// What was signed is no SVID.
    #[error(transparent)]
    Svid(#[from] UnusableSvid),
}

// === impl Authority ===

impl Authority {
    /// Makes an authority with a new key.
    pub fn make(trust_domain: &TrustDomain, terms: Terms) -> Result<Self, UnusableAuthority> {
        let made = |error: rcgen::Error| UnusableAuthority::Made(error.to_string());
        let key = KeyPair::generate().map_err(made)?;
        let mut params = params(&trust_domain.id(), terms).map_err(made)?;
        params.distinguished_name.push(DnType::CommonName, format!("Spanway {trust_domain}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(made)?;
        let pem = AuthorityPem { certificate: certificate.pem(), key: key.serialize_pem() };
        Self::load(trust_domain, &pem, terms.now)
    }

    /// Reads an authority as it is kept.
    pub fn load(
        trust_domain: &TrustDomain,
        pem: &AuthorityPem,
        now: UnixTime,
    ) -> Result<Self, UnusableAuthority> {
        use UnusableAuthority as No;
        let mut chain = read_chain(pem.certificate.as_bytes())
            .map_err(|error| No::Certificate(error.to_string()))?;
        if chain.len() > 1 {
            return Err(No::Certificate("there is more than one".to_owned()));
        }
        let certificate = chain.remove(0);
        let Facts { name, not_after, public } = facts(&certificate)?;
        if pem.key.trim().is_empty() {
            return Err(No::Key("there is none".to_owned()));
        }
        let key = KeyPair::from_pem(&pem.key).map_err(|error| No::Key(error.to_string()))?;
        if key.subject_public_key_info() != public {
            return Err(No::KeyMismatch);
        }
        if name != trust_domain.id().as_str() {
            let expected = trust_domain.id().to_string();
            return Err(No::TrustDomain { expected, found: name });
        }
        if not_after <= now {
            return Err(No::Expired);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| No::Certificate(error.to_string()))?;
        Ok(Self { trust_domain: trust_domain.clone(), certificate, not_after, issuer })
    }

    /// The authority as it is kept.
    pub fn to_pem(&self) -> AuthorityPem {
        AuthorityPem {
            certificate: to_pem(&self.certificate),
            key: self.issuer.key().serialize_pem(),
        }
    }

    /// Whose authority it is.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// What others must hold to trust it.
    pub fn bundle(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    /// When it ends.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Signs for the key of a request, whatever else the request asks for.
    pub fn sign(&self, request: &[u8], id: &SpiffeId, terms: Terms) -> Result<Signed, NotSigned> {
        self.sign_key(&public_key_of(request)?, id, terms)
    }

    /// Makes a key and signs for it: the way to our own SVID where the authority is at hand.
    pub fn svid(&self, id: &SpiffeId, terms: Terms) -> Result<Svid, NotSigned> {
        let key = KeyPair::generate().map_err(|error| NotSigned::Signing(error.to_string()))?;
        let signed = self.sign_key(&key, id, terms)?;
        Ok(Svid::new(signed.chain, &private_key(&key))?)
    }

    fn sign_key(
        &self,
        key: &impl PublicKeyData,
        id: &SpiffeId,
        terms: Terms,
    ) -> Result<Signed, NotSigned> {
        let signing = |error: rcgen::Error| NotSigned::Signing(error.to_string());
        if id.is_root() || id.trust_domain_str() != self.trust_domain.as_str() {
            return Err(NotSigned::Foreign(id.clone()));
        }
        // A leaf never outlives its authority.
        let left = self.not_after.as_secs().saturating_sub(terms.now.as_secs());
        if left == 0 {
            return Err(NotSigned::Expired);
        }
        let life = terms.life.min(Duration::from_secs(left));
        let mut params = params(id, Terms { life, ..terms }).map_err(signing)?;
        params.distinguished_name.push(DnType::OrganizationName, "spanway");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(key, &self.issuer).map_err(signing)?;
        Ok(Signed { chain: vec![leaf.der().clone()], not_after: after(terms.now, life) })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority of {}", self.trust_domain)
    }
}

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorityPem")
    }
}

/// Writes a certificate as PEM.
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// A private key as rustls takes it.
pub(crate) fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}

/// The moment so much later.
pub(crate) fn after(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs()).saturating_add(by))
}

fn params(id: &SpiffeId, terms: Terms) -> Result<CertificateParams, rcgen::Error> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(terms.now.as_secs());
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now.saturating_add(terms.life);
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(positive(terms.serial));
    Ok(params)
}

/// A serial number is positive (RFC 5280, 4.1.2.2), and never so short that DER would pad it.
fn positive(mut serial: [u8; 16]) -> SerialNumber {
    let [first, ..] = &mut serial;
    *first = *first & 0x7f | 0x40;
    SerialNumber::from_slice(&serial)
}

/// What a certificate of an authority says.
struct Facts {
    name: String,
    not_after: UnixTime,
    public: Vec<u8>,
}

fn facts(certificate: &CertificateDer<'_>) -> Result<Facts, UnusableAuthority> {
    let unusable = |error: &dyn fmt::Display| UnusableAuthority::Certificate(error.to_string());
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| unusable(&error))?;
    if !certificate.is_ca() {
        return Err(unusable(&"it may not sign others"));
    }
    let names = certificate.subject_alternative_name().map_err(|error| unusable(&error))?;
    let uri =
        names.iter().flat_map(|names| &names.value.general_names).find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
    let not_after = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    Ok(Facts {
        name: uri.unwrap_or_default(),
        not_after: UnixTime::since_unix_epoch(Duration::from_secs(not_after)),
        public: certificate.public_key().raw.to_vec(),
    })
}

fn public_key_of(request: &[u8]) -> Result<SubjectPublicKeyInfo, NotSigned> {
    if request.len() > MAX_REQUEST_BYTES {
        return Err(NotSigned::TooLarge(request.len()));
    }
    let (rest, request) = X509CertificationRequest::from_der(request)
        .map_err(|error| NotSigned::Request(error.to_string()))?;
    if !rest.is_empty() {
        return Err(NotSigned::Request(format!("{} bytes follow it", rest.len())));
    }
    request.verify_signature().map_err(|_| NotSigned::Signature)?;
    let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| NotSigned::KeyKind)?;
    let kinds =
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    if kinds.contains(&key.algorithm()) { Ok(key) } else { Err(NotSigned::KeyKind) }
}
