//! Authorities, certificates and connections for tests.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};

use super::svid::Svid;
use super::trust::LinkTrust;
use crate::identity::authority::private_key;

/// Long enough for a handshake on a busy machine, short enough to see a hang.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// What `main` does first.
pub(crate) fn install() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// An authority that signs anything.
pub(crate) struct Root {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) der: CertificateDer<'static>,
}

/// A chain and its key, be it an SVID or not.
pub(crate) struct Holder {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: KeyPair,
}

impl Root {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = root_params(name);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), der }
    }

    /// An authority below this one.
    pub(crate) fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), der }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Holder {
        self.sign_key(params, KeyPair::generate().unwrap())
    }

    pub(crate) fn sign_key(&self, params: &CertificateParams, key: KeyPair) -> Holder {
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Holder { chain: vec![der], key }
    }

    /// An SVID as it should be.
    pub(crate) fn svid(&self, id: &str) -> Svid {
        self.sign(&leaf_params(id)).svid()
    }
}

impl Holder {
    /// With further certificates, as an intermediate authority makes them necessary.
    pub(crate) fn with(mut self, more: &[&Root]) -> Self {
        self.chain.extend(more.iter().map(|root| root.der.clone()));
        self
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private_key(&self.key));
        Arc::new(CertifiedKey::new(self.chain.clone(), key.unwrap()))
    }

    pub(crate) fn svid(&self) -> Svid {
        Svid::new(self.chain.clone(), &private_key(&self.key)).unwrap()
    }
}

/// An authority's certificate.
pub(crate) fn root_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, -3600, 3600);
    params
}

/// A leaf with everything that an SVID must have.
pub(crate) fn leaf_params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "test");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut params, -60, 3600);
    params
}

/// Sets begin and end, in seconds from now.
pub(crate) fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    let at = |offset: i64| {
        let seconds = UnixTime::now().as_secs().checked_add_signed(offset).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(from);
    params.not_after = at(to);
}

/// An extension that rcgen would not write by itself.
pub(crate) fn extension(oid: &[u64], content: &[u8], critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

pub(crate) fn trust(link: &str, domain: &str, root: &Root, gateways: &[&str]) -> LinkTrust {
    LinkTrust {
        link: link.into(),
        trust_domain: domain.parse().unwrap(),
        bundle: [root.der.clone()].into(),
        gateways: gateways.iter().map(|id| id.parse().unwrap()).collect(),
    }
}

/// Both ends of a connection on loopback, the caller's first.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (caller, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (caller.unwrap(), accepted.unwrap().0)
}
