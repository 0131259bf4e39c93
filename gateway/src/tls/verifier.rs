//! Decides whether the other end of a connection is one of the peers that we trust.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use config::model::identity::{SpiffeId, TrustDomain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage};

use super::provider;
use super::svid::{BadSvid, Leaf, MAX_CHAIN, MAX_CHAIN_BYTES};

#[cfg(test)]
mod tests;

/// Whom a link trusts: what its object says, not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkTrust {
    /// The name of the link.
    pub link: Arc<str>,
    /// The trust domain of the remote cluster.
    pub trust_domain: TrustDomain,
    /// The certificates of its authorities, which sign for this link and for no other.
    pub bundle: Arc<[CertificateDer<'static>]>,
    /// The names of its gateways; nobody else is a peer.
    pub gateways: BTreeSet<SpiffeId>,
}

/// Why nobody can be trusted by what a link says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidTrust {
    /// There is no certificate to trust.
    #[error("the bundle of {0} is empty")]
    EmptyBundle(TrustDomain),
    /// One of the certificates cannot be read.
    #[error("certificate {index} of the bundle of {trust_domain} cannot be read: {reason}")]
    Certificate {
        /// Whose bundle it is.
        trust_domain: TrustDomain,
        /// Where it stands in the bundle.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nobody on the list.
    #[error("no gateway of {0} is named")]
    NoGateways(TrustDomain),
    /// A name on the list is of another trust domain.
    #[error("the gateway {gateway} is not of the trust domain {trust_domain}")]
    ForeignGateway {
        /// The name on the list.
        gateway: SpiffeId,
        /// The trust domain of the link.
        trust_domain: TrustDomain,
    },
    /// Another link, or this cluster itself, has the trust domain already.
    #[error("the trust domain {trust_domain} is that of {holder:?}")]
    Repeated {
        /// The trust domain.
        trust_domain: TrustDomain,
        /// Who has it: a link, or this cluster.
        holder: Arc<str>,
    },
}

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
    /// The link that it concerns, if the peer's trust domain told which.
    pub link: Option<Arc<str>>,
    /// Who the peer said to be; believe it only where the reason is `NotAGateway`.
    pub claimed: Option<SpiffeId>,
    /// Why.
    pub reason: PeerRefused,
    /// Who called whom.
    pub side: Side,
}

/// A peer that has shown who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The link that it belongs to.
    pub link: Arc<str>,
    /// Who it is.
    pub id: SpiffeId,
    /// Until when its certificate is good.
    pub not_after: UnixTime,
}

/// Which end of a connection the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It called us.
    Client,
    /// We called it.
    Server,
}

/// Where refusals go.
#[derive(Clone)]
pub struct Refusals(Arc<dyn Fn(Refused) + Send + Sync>);

/// The links by trust domain, each with its own roots.
#[derive(Debug)]
pub struct Peers {
    by_domain: BTreeMap<TrustDomain, Trusted>,
}

#[derive(Debug)]
struct Trusted {
    link: Arc<str>,
    anchors: Vec<TrustAnchor<'static>>,
    gateways: BTreeSet<SpiffeId>,
}

/// Lets rustls ask [`Peers`] during a handshake.
#[derive(Debug)]
pub struct PeerVerifier {
    peers: Peers,
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

// === impl Peers ===

impl Peers {
    /// Takes what can be trusted of `links`, and says of each other link why it cannot.
    ///
    /// The first link that names a trust domain has it; `own`, our own, no link may have.
    pub fn new(own: &TrustDomain, links: &[LinkTrust]) -> (Self, Vec<(Arc<str>, InvalidTrust)>) {
        let mut peers = Self { by_domain: BTreeMap::new() };
        let mut rejected = Vec::new();
        for link in links {
            let done = peers.refuse_repetition(own, link).and_then(|()| Trusted::new(link));
            match done {
                Ok(trusted) => {
                    peers.by_domain.insert(link.trust_domain.clone(), trusted);
                }
                Err(reason) => rejected.push((Arc::clone(&link.link), reason)),
            }
        }
        (peers, rejected)
    }

    /// Trusts one party alone.
    pub fn only(party: &LinkTrust) -> Result<Self, InvalidTrust> {
        let by_domain = BTreeMap::from([(party.trust_domain.clone(), Trusted::new(party)?)]);
        Ok(Self { by_domain })
    }

    /// The names of the links whose trust stands.
    pub fn links(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_domain.values().map(|trusted| &trusted.link)
    }

    /// Decides who presented `chain`, leaf first.
    pub fn authenticate(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<Peer, Refused> {
        let refused = |reason| Refused { link: None, claimed: None, reason, side };
        let leaf = read_leaf(chain).map_err(refused)?;
        let domain = leaf.id.trust_domain();
        let Some(trusted) = self.by_domain.get(&domain) else {
            return Err(Refused {
                claimed: Some(leaf.id),
                ..refused(PeerRefused::UnknownTrustDomain(domain))
            });
        };
        match trusted.authenticate(&leaf, chain, side, now) {
            Ok(()) => Ok(Peer {
                link: Arc::clone(&trusted.link),
                id: leaf.id,
                not_after: leaf.not_after,
            }),
            Err(reason) => Err(Refused {
                link: Some(Arc::clone(&trusted.link)),
                claimed: Some(leaf.id),
                reason,
                side,
            }),
        }
    }

    /// Who holds the leaf of a chain that this has authenticated before.
    pub(super) fn recall(&self, leaf: &CertificateDer<'_>) -> Result<Peer, PeerRefused> {
        let leaf = Leaf::parse(leaf)?;
        let domain = leaf.id.trust_domain();
        match self.by_domain.get(&domain) {
            Some(trusted) => Ok(Peer {
                link: Arc::clone(&trusted.link),
                id: leaf.id,
                not_after: leaf.not_after,
            }),
            None => Err(PeerRefused::UnknownTrustDomain(domain)),
        }
    }

    fn refuse_repetition(&self, own: &TrustDomain, link: &LinkTrust) -> Result<(), InvalidTrust> {
        let holder = if link.trust_domain == *own {
            "this cluster".into()
        } else if let Some(other) = self.by_domain.get(&link.trust_domain) {
            Arc::clone(&other.link)
        } else {
            return Ok(());
        };
        Err(InvalidTrust::Repeated { trust_domain: link.trust_domain.clone(), holder })
    }
}

fn read_leaf(chain: &[&CertificateDer<'_>]) -> Result<Leaf, PeerRefused> {
    let leaf = chain.first().ok_or(PeerRefused::NoCertificate)?;
    let bytes = chain.iter().map(|certificate| certificate.len()).sum();
    if chain.len() > MAX_CHAIN || bytes > MAX_CHAIN_BYTES {
        return Err(BadSvid::ChainTooLong { certificates: chain.len(), bytes }.into());
    }
    Ok(Leaf::parse(leaf)?)
}

// === impl Trusted ===

impl Trusted {
    fn new(link: &LinkTrust) -> Result<Self, InvalidTrust> {
        let trust_domain = || link.trust_domain.clone();
        if link.bundle.is_empty() {
            return Err(InvalidTrust::EmptyBundle(trust_domain()));
        }
        if link.gateways.is_empty() {
            return Err(InvalidTrust::NoGateways(trust_domain()));
        }
        let foreign =
            link.gateways.iter().find(|id| id.trust_domain_str() != link.trust_domain.as_str());
        if let Some(gateway) = foreign {
            return Err(InvalidTrust::ForeignGateway {
                gateway: gateway.clone(),
                trust_domain: trust_domain(),
            });
        }
        let anchors: Result<Vec<_>, _> = link
            .bundle
            .iter()
            .enumerate()
            .map(|(index, certificate)| {
                webpki::anchor_from_trusted_cert(certificate)
                    .map(|anchor| anchor.to_owned())
                    .map_err(|error| InvalidTrust::Certificate {
                        trust_domain: trust_domain(),
                        index,
                        reason: error.to_string(),
                    })
            })
            .collect();
        Ok(Self {
            link: Arc::clone(&link.link),
            anchors: anchors?,
            gateways: link.gateways.clone(),
        })
    }

    fn authenticate(
        &self,
        leaf: &Leaf,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<(), PeerRefused> {
        let (first, intermediates) = chain.split_first().ok_or(PeerRefused::NoCertificate)?;
        let intermediates: Vec<CertificateDer<'_>> =
            intermediates.iter().map(|certificate| CertificateDer::from(&***certificate)).collect();
        let refused = |error| chain_refused(&leaf.id, error);
        EndEntityCert::try_from(*first)
            .map_err(refused)?
            .verify_for_usage(
                provider::signatures().all,
                &self.anchors,
                &intermediates,
                now,
                side.usage(),
                None,
                None,
            )
            .map_err(refused)?;
        if self.gateways.contains(&leaf.id) {
            Ok(())
        } else {
            Err(PeerRefused::NotAGateway(leaf.id.clone()))
        }
    }
}

fn chain_refused(claimed: &SpiffeId, error: webpki::Error) -> PeerRefused {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => PeerRefused::Expired,
        E::CertNotValidYet { .. } => PeerRefused::NotYetValid,
        E::UnknownIssuer | E::InvalidSignatureForPublicKey => {
            PeerRefused::NotInBundle(claimed.trust_domain())
        }
        other => BadSvid::Chain(other.to_string()).into(),
    }
}

// === impl Side ===

impl Side {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Client => KeyUsage::client_auth(),
            Self::Server => KeyUsage::server_auth(),
        }
    }
}

// === impl PeerVerifier ===

impl PeerVerifier {
    /// Asks `peers`, and tells `refusals` of each that is none.
    pub fn new(peers: Peers, refusals: Refusals, presence: Presence) -> Self {
        Self { peers, refusals, presence }
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
        self.peers.authenticate(chain, side, now).map_err(|refused| {
            let reason = refused.reason.clone();
            self.refusals.tell(refused);
            reason
        })
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let chain: Vec<&CertificateDer<'_>> =
            std::iter::once(leaf).chain(intermediates).collect();
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
