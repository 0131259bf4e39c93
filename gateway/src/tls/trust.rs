//! Whom we trust: each link its own roots, and on them its own gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::identity::{SpiffeId, TrustDomain};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage};

use super::provider;
use super::svid::{BadSvid, Leaf, MAX_CHAIN, MAX_CHAIN_BYTES};
use super::verifier::{PeerRefused, Refused};

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

/// A link that trusts nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrusted {
    /// The name of the link.
    pub link: Arc<str>,
    /// Why.
    pub reason: InvalidTrust,
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

// === impl Peers ===

impl Peers {
    /// Takes what can be trusted of `links`, and says of each other link why it cannot.
    ///
    /// The first link that names a trust domain has it; `own`, our own, no link may have.
    pub fn new(own: &TrustDomain, links: &[LinkTrust]) -> (Self, Vec<Distrusted>) {
        let mut peers = Self { by_domain: BTreeMap::new() };
        let mut rejected = Vec::new();
        for link in links {
            let done = peers.refuse_repetition(own, link).and_then(|()| Trusted::new(link));
            match done {
                Ok(trusted) => {
                    peers.by_domain.insert(link.trust_domain.clone(), trusted);
                }
                Err(reason) => rejected.push(Distrusted { link: Arc::clone(&link.link), reason }),
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
                link: self.signer(chain, side, now),
                claimed: Some(leaf.id),
                ..refused(PeerRefused::UnknownTrustDomain(domain))
            });
        };
        match trusted.authenticate(&leaf, chain, side, now) {
            Ok(()) => {
                Ok(Peer { link: Arc::clone(&trusted.link), id: leaf.id, not_after: leaf.not_after })
            }
            Err(reason) => Err(Refused {
                link: Some(Arc::clone(&trusted.link)),
                claimed: Some(leaf.id),
                reason,
                side,
            }),
        }
    }

    /// The link whose authorities signed for a name that is not theirs to give: whoever runs that
    /// cluster has to know. Certificates of other issuers are told apart by name, without a
    /// signature being checked.
    fn signer(&self, chain: &[&CertificateDer<'_>], side: Side, now: UnixTime) -> Option<Arc<str>> {
        let signed = |trusted: &&Trusted| trusted.verify(chain, side, now).is_ok();
        self.by_domain.values().find(signed).map(|trusted| Arc::clone(&trusted.link))
    }

    /// Who holds the leaf of a chain that this has authenticated before.
    pub(super) fn recall(&self, leaf: &CertificateDer<'_>) -> Result<Peer, PeerRefused> {
        let leaf = Leaf::parse(leaf)?;
        let domain = leaf.id.trust_domain();
        match self.by_domain.get(&domain) {
            Some(trusted) => {
                Ok(Peer { link: Arc::clone(&trusted.link), id: leaf.id, not_after: leaf.not_after })
            }
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
        self.verify(chain, side, now).map_err(|error| chain_refused(&leaf.id, error))?;
        if self.gateways.contains(&leaf.id) {
            Ok(())
        } else {
            Err(PeerRefused::NotAGateway(leaf.id.clone()))
        }
    }

    /// Whether a chain ends in one of the link's authorities.
    fn verify(
        &self,
        chain: &[&CertificateDer<'_>],
        side: Side,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let (first, intermediates) = chain.split_first().ok_or(webpki::Error::UnknownIssuer)?;
        let intermediates: Vec<CertificateDer<'_>> =
            intermediates.iter().map(|certificate| CertificateDer::from(&***certificate)).collect();
        EndEntityCert::try_from(*first)?
            .verify_for_usage(
                provider::signatures().all,
                &self.anchors,
                &intermediates,
                now,
                side.usage(),
                None,
                None,
            )
            .map(drop)
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
