//! What the gateway can prove and whom it believes: one of the three parts of a snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use config::model::Name;
use config::model::identity::TrustDomain;
use config::table::{ClientAuth, TlsTermination};
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::link::{LinkDialler, LinkListener};
use super::server::{self, UnusableCertificate, UnusableListener};
use super::svid::Svid;
use super::trust::{Distrusted, InvalidTrust, LinkTrust, Peers};
use super::verifier::{PeerVerifier, Presence, Refusals};

#[cfg(test)]
mod tests;

/// What credentials are made of.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Our own trust domain, which no link may have.
    pub own: TrustDomain,
    /// Our own identity, once there is one.
    pub svid: Option<Arc<Svid>>,
    /// Whom the links trust; of two with one trust domain the first has it.
    pub links: Vec<LinkTrust>,
    /// Server certificates by the names of their Secrets.
    pub certificates: BTreeMap<Name, PemPair>,
    /// Every way of ending TLS that the routing table names.
    pub terminations: HashSet<Termination>,
}

/// A chain and its private key as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// The certificates, leaf first.
    pub chain: Arc<[u8]>,
    /// The private key.
    pub key: Arc<[u8]>,
}

/// A way of ending TLS: what distinguishes one `TlsTermination` from another here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Termination {
    /// The Secrets that hold the certificates.
    pub certificates: Arc<[Name]>,
    /// What a client must present.
    pub client_auth: ClientAuth,
}

/// What is wrong with one input; it costs that input alone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// A link trusts nobody.
    #[error("link {link:?}: {reason}")]
    Link {
        /// Its name.
        link: Arc<str>,
        /// What is wrong.
        #[source]
        reason: InvalidTrust,
    },
    /// A certificate cannot be used; the last one of that name that could be stays in use.
    #[error("certificate {certificate}: {reason}")]
    Certificate {
        /// The name of its Secret.
        certificate: Name,
        /// What is wrong.
        #[source]
        reason: UnusableCertificate,
    },
    /// A listener has no TLS.
    #[error("the listener with {}: {reason}", list(.certificates))]
    Listener {
        /// The Secrets that it names.
        certificates: Arc<[Name]>,
        /// What is wrong.
        #[source]
        reason: UnusableListener,
    },
    /// Our own identity is out of its time, so no link works.
    #[error("our own certificate is not valid now")]
    SvidOutOfTime,
    /// rustls refuses our own identity, so no link works.
    #[error("our own certificate cannot be used: {0}")]
    Svid(String),
}

/// What the gateway can prove and whom it believes, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    links: Links,
    certificates: BTreeMap<Name, Certificate>,
    https: HashMap<Termination, Https>,
}

/// Everything about links; a change of any of it makes all of it new, so that no session which
/// began under the old trust is taken up under the new.
#[derive(Clone, Debug, Default)]
struct Links {
    svid: Option<Arc<Svid>>,
    trust: Arc<[LinkTrust]>,
    listener: Option<LinkListener>,
    diallers: BTreeMap<Arc<str>, LinkDialler>,
}

#[derive(Clone, Debug)]
struct Certificate {
    pem: PemPair,
    key: Arc<CertifiedKey>,
}

#[derive(Clone, Debug)]
struct Https {
    keys: Vec<Arc<CertifiedKey>>,
    config: Arc<ServerConfig>,
}

// === impl Credentials ===

impl Credentials {
    /// Makes credentials, taking over from `previous` what has not changed, sessions included.
    pub fn build(
        inputs: &Inputs,
        previous: &Self,
        refusals: &Refusals,
        now: UnixTime,
    ) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let links = Links::build(inputs, &previous.links, refusals, now, &mut faults);
        let certificates = certificates(inputs, previous, &mut faults);
        let mut https = HashMap::with_capacity(inputs.terminations.len());
        for termination in &inputs.terminations {
            match Https::build(termination, &certificates, previous.https.get(termination)) {
                Ok(made) => {
                    https.insert(termination.clone(), made);
                }
                Err(reason) => faults.push(Fault::Listener {
                    certificates: Arc::clone(&termination.certificates),
                    reason,
                }),
            }
        }
        (Self { links, certificates, https }, faults)
    }

    /// Our own identity, if it is good.
    pub fn svid(&self) -> Option<&Arc<Svid>> {
        self.links.svid.as_ref()
    }

    /// The accepting end of links, if we have an identity.
    pub fn link_listener(&self) -> Option<&LinkListener> {
        self.links.listener.as_ref()
    }

    /// The dialling end of a link, if we have an identity and the link's trust stands.
    pub fn link(&self, name: &str) -> Option<&LinkDialler> {
        self.links.diallers.get(name)
    }

    /// How a listener ends TLS.
    pub fn https(&self, termination: &Termination) -> Option<&Arc<ServerConfig>> {
        self.https.get(termination).map(|https| &https.config)
    }

    /// When each server certificate ends, for the metrics.
    pub fn certificates(&self) -> impl Iterator<Item = (&Name, Option<UnixTime>)> {
        self.certificates.iter().map(|(id, certificate)| (id, expiry(&certificate.key)))
    }
}

fn expiry(key: &CertifiedKey) -> Option<UnixTime> {
    let (_, leaf) = x509_parser::parse_x509_certificate(key.cert.first()?).ok()?;
    let seconds = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or_default();
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
}

fn certificates(
    inputs: &Inputs,
    previous: &Credentials,
    faults: &mut Vec<Fault>,
) -> BTreeMap<Name, Certificate> {
    let mut certificates = BTreeMap::new();
    for (id, pem) in &inputs.certificates {
        let old = previous.certificates.get(id);
        let certificate = match old {
            Some(old) if old.pem == *pem => Some(old.clone()),
            _ => match server::certified_key(&pem.chain, &pem.key) {
                Ok(key) => Some(Certificate { pem: pem.clone(), key }),
                Err(reason) => {
                    faults.push(Fault::Certificate { certificate: id.clone(), reason });
                    old.cloned()
                }
            },
        };
        certificates.extend(certificate.map(|certificate| (id.clone(), certificate)));
    }
    certificates
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::to_string).collect::<Vec<_>>().join(", ")
}

// === impl Https ===

impl Https {
    fn build(
        termination: &Termination,
        certificates: &BTreeMap<Name, Certificate>,
        previous: Option<&Self>,
    ) -> Result<Self, UnusableListener> {
        let keys: Vec<_> = termination
            .certificates
            .iter()
            .filter_map(|name| certificates.get(name))
            .map(|certificate| Arc::clone(&certificate.key))
            .collect();
        let same = |previous: &&Self| {
            previous.keys.iter().map(Arc::as_ptr).eq(keys.iter().map(Arc::as_ptr))
        };
        if let Some(previous) = previous.filter(same) {
            return Ok(previous.clone());
        }
        if keys.is_empty() {
            return Err(UnusableListener::NoCertificate);
        }
        let config = server::server_config(keys.clone(), &termination.client_auth)?;
        Ok(Self { keys, config })
    }
}

// === impl Links ===

impl Links {
    fn build(
        inputs: &Inputs,
        previous: &Self,
        refusals: &Refusals,
        now: UnixTime,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let svid = match &inputs.svid {
            Some(svid) if !svid.is_valid_at(now) => {
                faults.push(Fault::SvidOutOfTime);
                None
            }
            svid => svid.clone(),
        };
        let (all, rejected) = Peers::new(&inputs.own, &inputs.links);
        faults.extend(
            rejected.into_iter().map(|Distrusted { link, reason }| Fault::Link { link, reason }),
        );
        let Some(svid) = svid else { return Self::default() };
        if previous.is_of(&svid, &inputs.links) {
            return previous.clone();
        }
        let diallers = diallers(&svid, &all, &inputs.links, refusals);
        let verifier = PeerVerifier::new(all, refusals.clone(), Presence::Required);
        let listener = LinkListener::new(&svid, Arc::new(verifier));
        match (listener, diallers) {
            (Ok(listener), Ok(diallers)) => Self {
                svid: Some(svid),
                trust: inputs.links.as_slice().into(),
                listener: Some(listener),
                diallers,
            },
            (Err(error), _) | (_, Err(error)) => {
                faults.push(Fault::Svid(error.to_string()));
                Self::default()
            }
        }
    }

    fn is_of(&self, svid: &Arc<Svid>, trust: &[LinkTrust]) -> bool {
        self.svid.as_ref().is_some_and(|own| Arc::ptr_eq(own, svid)) && *self.trust == *trust
    }
}

fn diallers(
    svid: &Svid,
    all: &Peers,
    trust: &[LinkTrust],
    refusals: &Refusals,
) -> Result<BTreeMap<Arc<str>, LinkDialler>, rustls::Error> {
    let mut diallers = BTreeMap::new();
    for name in all.links() {
        let Some(Ok(peers)) = trust.iter().find(|link| link.link == *name).map(Peers::only) else {
            continue;
        };
        // A dialled peer is measured by its own link alone.
        let verifier = PeerVerifier::new(peers, refusals.clone(), Presence::Required);
        let dialler = LinkDialler::new(Arc::clone(name), svid, Arc::new(verifier))?;
        diallers.insert(Arc::clone(name), dialler);
    }
    Ok(diallers)
}

// === impl Termination ===

impl From<&TlsTermination> for Termination {
    fn from(termination: &TlsTermination) -> Self {
        Self {
            certificates: Arc::clone(&termination.certificates),
            client_auth: termination.client_auth.clone(),
        }
    }
}

// === impl PemPair ===

impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PemPair")
    }
}
