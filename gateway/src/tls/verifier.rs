//! Decides whether the other end of a connection is one of the peers that we trust.

use std::fmt;
use std::sync::Arc;

use config::model::identity::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use thiserror::Error;

use super::judged::Judged;
use super::provider;
use super::svid::BadSvid;
use super::trust::{Peer, Peers, Side};

/// Why a peer is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerRefused {
    /// It presented nothing.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// Nothing here is linked to its trust domain.
    #[error("no link has the trust domain {0}")]
    UnknownTrustDomain(TrustDomain),
    /// No authority of its trust domain's bundle signed for it.
    #[error("no authority in the bundle of {0} signed for the peer")]
    NotInBundle(TrustDomain),
    /// Its time is over.
    #[error("the certificate of the peer has expired")]
    Expired,
    /// Its time has not come.
    #[error("the certificate of the peer is not valid yet")]
    NotYetValid,
    /// It is of the right cluster, but none of its gateways.
    #[error("{0} is not on the list of gateways")]
    NotAGateway(SpiffeId),
    /// What it presented is no X509-SVID.
    #[error("the peer presented no X509-SVID: {0}")]
    BadSvid(#[from] BadSvid),
}

/// A refusal, for the metrics and for the condition of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The link that it concerns, if the peer's trust domain, or who signed for it, told which.
    pub link: Option<Arc<str>>,
    /// Who the peer said to be; believe it only where the reason is `NotAGateway`.
    pub claimed: Option<SpiffeId>,
    /// Why.
    pub reason: PeerRefused,
    /// Who called whom.
    pub side: Side,
}

/// Where refusals go.
#[derive(Clone)]
pub struct Refusals(Arc<dyn Fn(Refused) + Send + Sync>);

/// Lets rustls ask [`Peers`] during a handshake.
#[derive(Debug)]
pub struct PeerVerifier {
    peers: Peers,
    judged: Judged,
    refusals: Refusals,
    presence: Presence,
}

/// Whether a client must show who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A client without a certificate is let in, as nobody.
    Optional,
    /// A client without a certificate is refused.
    Required,
}

// === impl PeerRefused ===

impl PeerRefused {
    /// The reason in one word, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::UnknownTrustDomain(_) => "unknown_trust_domain",
            Self::NotInBundle(_) => "not_in_bundle",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NotAGateway(_) => "not_a_gateway",
            Self::BadSvid(_) => "bad_svid",
        }
    }

    /// The reason as it stands in a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "NoCertificate",
            Self::UnknownTrustDomain(_) => "UnknownTrustDomain",
            Self::NotInBundle(_) => "NotInBundle",
            Self::Expired => "CertificateExpired",
            Self::NotYetValid => "CertificateNotYetValid",
            Self::NotAGateway(_) => "NotAGateway",
            Self::BadSvid(_) => "InvalidSvid",
        }
    }

    /// The refusal that ended a handshake on this side.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::NoCertificatesPresented => Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
                other.downcast_ref::<Self>().cloned()
            }
            _ => None,
        }
    }
}

impl From<PeerRefused> for rustls::Error {
    fn from(reason: PeerRefused) -> Self {
        CertificateError::Other(OtherError(Arc::new(reason))).into()
    }
}

// === impl Refusals ===

impl Refusals {
    /// Hands each refusal to `sink`, which must not block: a handshake waits for it.
    pub fn to(sink: impl Fn(Refused) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops them.
    pub fn ignored() -> Self {
        Self::to(drop)
    }

    /// Tells of one.
    pub fn tell(&self, refused: Refused) {
        (self.0)(refused);
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refusals")
    }
}

// === impl PeerVerifier ===

impl PeerVerifier {
    /// Asks `peers`, and tells `refusals` of each that is none.
    pub fn new(peers: Peers, refusals: Refusals, presence: Presence) -> Self {
        Self { peers, judged: Judged::default(), refusals, presence }
    }

    /// Whom it trusts.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Where it tells of refusals.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Decides, and tells of a refusal.
    pub fn authenticate(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<Peer, PeerRefused> {
        if let Some(peer) = self.judged.recall(chain, side, now) {
            return Ok(peer);
        }
        let peer = self.peers.authenticate(chain, side, now).map_err(|refused| {
            let reason = refused.reason.clone();
            self.refusals.tell(refused);
            reason
        })?;
        self.judged.remember(chain, side, now, &peer);
        Ok(peer)
    }

    /// Who presented a chain in the handshake that has just been completed, in which it was
    /// authenticated.
    pub fn recall(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<Peer, PeerRefused> {
        match (self.judged.recall(chain, side, now), chain) {
            (Some(peer), _) => Ok(peer),
            (None, [leaf, ..]) => self.peers.recall(leaf),
            (None, []) => Err(PeerRefused::NoCertificate),
        }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let chain: Vec<&CertificateDer<'_>> = std::iter::once(leaf).chain(intermediates).collect();
        self.authenticate(&chain, side, now).map(drop).map_err(rustls::Error::from)
    }
}

/// Says how both verifiers check a handshake's signature: as webpki does.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let signatures = provider::signatures();
            rustls::crypto::verify_tls12_signature(message, certificate, signed, &signatures)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let signatures = provider::signatures();
            rustls::crypto::verify_tls13_signature(message, certificate, signed, &signatures)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            provider::signatures().supported_schemes()
        }
    };
}
pub(super) use signatures;

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        // The name says which service is called, the SPIFFE ID who answers.
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, Side::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.presence == Presence::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints would tell strangers which clusters are linked.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, Side::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}
