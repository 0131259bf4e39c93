//! X509-SVIDs: certificates whose holder has a SPIFFE ID.

use std::sync::Arc;
use std::time::Duration;

use config::model::identity::{InvalidSpiffeId, SpiffeId};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use x509_parser::extensions::{GeneralName, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::time::ASN1Time;

#[cfg(test)]
mod tests;

/// The longest chain that a peer may present: a leaf, its intermediates, some reserve.
pub const MAX_CHAIN: usize = 8;

/// The largest chain that a peer may present; an SVID of ours has less than 1 KiB.
pub const MAX_CHAIN_BYTES: usize = 32 * 1024;

/// What a leaf says of its holder, which is not yet to say that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Who holds it.
    pub id: SpiffeId,
    /// From when on.
    pub not_before: UnixTime,
    /// Until when.
    pub not_after: UnixTime,
}

/// Our own SVID: chain and private key, which belong together.
#[derive(Debug)]
pub struct Svid {
    leaf: Leaf,
    key: Arc<CertifiedKey>,
}

/// Why a certificate is no X509-SVID of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadSvid {
    /// It cannot be read as an X.509 certificate of version 3, or says something twice.
    #[error("the certificate cannot be read: {0}")]
    Encoding(String),
    /// More certificates, or more bytes, than anybody needs.
    #[error("the chain has {certificates} certificates and {bytes} bytes")]
    ChainTooLong {
        /// How many certificates there are.
        certificates: usize,
        /// How many bytes they have.
        bytes: usize,
    },
    /// An SVID has exactly one URI among its alternative names.
    #[error("the certificate has {0} URIs as alternative names, not one")]
    UriCount(usize),
    /// Its URI is no SPIFFE ID.
    #[error(transparent)]
    Id(#[from] InvalidSpiffeId),
    /// It names a trust domain, not a workload.
    #[error("the SPIFFE ID {0} has no path")]
    RootPath(SpiffeId),
    /// It is a signing certificate, and those never authenticate.
    #[error("the certificate is one of an authority")]
    Authority,
    /// It does not say what its key is for.
    #[error("the certificate has no key usage")]
    NoKeyUsage,
    /// It says so, but not in a way that everybody must heed.
    #[error("the key usage is not critical")]
    KeyUsageNotCritical,
    /// Its key may not sign a handshake.
    #[error("the key usage lacks digitalSignature")]
    NoDigitalSignature,
    /// Its key may sign certificates or revocation lists.
    #[error("the key usage has keyCertSign or cRLSign")]
    MaySign,
    /// It names purposes, but not both that an SVID has.
    #[error("the extended key usage lacks serverAuth or clientAuth")]
    ExtendedKeyUsage,
    /// The way to the root breaks a rule.
    #[error("the chain breaks a rule: {0}")]
    Chain(String),
}

/// Why chain and key are no SVID of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnusableSvid {
    /// There is no certificate.
    #[error("there is no certificate")]
    Empty,
    /// The leaf is no SVID.
    #[error(transparent)]
    Leaf(#[from] BadSvid),
    /// The private key cannot be read, or is of a kind that we do not sign with.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// The private key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
}

// === impl Leaf ===

impl Leaf {
    /// Reads a leaf by all the rules of the X509-SVID standard for one.
    pub fn parse(der: &[u8]) -> Result<Self, BadSvid> {
        let unreadable = |error: &dyn std::fmt::Display| BadSvid::Encoding(error.to_string());
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
        if !rest.is_empty() {
            return Err(BadSvid::Encoding(format!("{} bytes follow it", rest.len())));
        }
        if certificate.version() != X509Version::V3 {
            return Err(BadSvid::Encoding(format!("version {}", certificate.version().0)));
        }
        // Fails where an extension stands twice.
        certificate.extensions_map().map_err(|error| unreadable(&error))?;
        check_constraints(&certificate)?;
        Ok(Self {
            id: id_of(&certificate)?,
            not_before: unix_time(&certificate.validity().not_before),
            not_after: unix_time(&certificate.validity().not_after),
        })
    }
}

fn check_constraints(certificate: &X509Certificate<'_>) -> Result<(), BadSvid> {
    let unreadable = |error: x509_parser::error::X509Error| BadSvid::Encoding(error.to_string());
    if certificate.basic_constraints().map_err(unreadable)?.is_some_and(|c| c.value.ca) {
        return Err(BadSvid::Authority);
    }
    let usage = certificate.key_usage().map_err(unreadable)?.ok_or(BadSvid::NoKeyUsage)?;
    if !usage.critical {
        return Err(BadSvid::KeyUsageNotCritical);
    }
    check_usage(*usage.value)?;
    match certificate.extended_key_usage().map_err(unreadable)? {
        Some(purposes) if !(purposes.value.server_auth && purposes.value.client_auth) => {
            Err(BadSvid::ExtendedKeyUsage)
        }
        _ => Ok(()),
    }
}

fn check_usage(usage: KeyUsage) -> Result<(), BadSvid> {
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(BadSvid::MaySign);
    }
    if !usage.digital_signature() {
        return Err(BadSvid::NoDigitalSignature);
    }
    Ok(())
}

fn id_of(certificate: &X509Certificate<'_>) -> Result<SpiffeId, BadSvid> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| BadSvid::Encoding(error.to_string()))?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    let [uri] = uris.as_slice() else { return Err(BadSvid::UriCount(uris.len())) };
    let id: SpiffeId = uri.parse()?;
    if id.is_root() { Err(BadSvid::RootPath(id)) } else { Ok(id) }
}

fn unix_time(time: &ASN1Time) -> UnixTime {
    // Nothing that we accept dates from before 1970; such a time is as long past as that.
    UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(time.timestamp()).unwrap_or_default(),
    ))
}

// === impl Svid ===

impl Svid {
    /// Joins a chain, leaf first, with its private key.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, UnusableSvid> {
        let leaf = Leaf::parse(chain.first().ok_or(UnusableSvid::Empty)?)?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
            .map_err(|error| UnusableSvid::Key(error.to_string()))?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) => Ok(Self { leaf, key: Arc::new(key) }),
            Err(_) => Err(UnusableSvid::KeyMismatch),
        }
    }

    /// Who we are.
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// From when on it may be used.
    pub fn not_before(&self) -> UnixTime {
        self.leaf.not_before
    }

    /// Until when it may be used.
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after
    }

    /// Whether it may be used now.
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.leaf.not_before..=self.leaf.not_after).contains(&now)
    }

    /// The certificates, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// Chain and key as rustls takes them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}
