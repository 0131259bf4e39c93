//! What the gateway can prove and whom it believes: one of the three parts of a snapshot.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use config::model::identity::TrustDomain;
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use thiserror::Error;

use super::link::{LinkDialler, LinkListener};
use super::server::{self, Certificates, ClientAuth, UnusableCertificate, UnusableListener};
use super::svid::Svid;
use super::verifier::{InvalidTrust, LinkTrust, PeerVerifier, Peers, Presence, Refusals};

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
    /// Server certificates by an id of the caller's choice.
    pub certificates: BTreeMap<Arc<str>, PemPair>,
    /// HTTPS listeners by an id of the caller's choice.
    pub https: BTreeMap<Arc<str>, HttpsListener>,
}

/// A chain and its private key as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// The certificates, leaf first.
    pub chain: Arc<[u8]>,
    /// The private key.
    pub key: Arc<[u8]>,
}

/// An HTTPS listener: one port of one Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpsListener {
    /// Host names, `""` for any and `*.example.org` for all below, each with the ids of its
    /// certificates.
    pub names: Vec<(Arc<str>, Vec<Arc<str>>)>,
    /// What clients must show.
    pub clients: ClientAuth,
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
    /// A certificate cannot be used; the last one of that id that could be stays in use.
    #[error("certificate {certificate:?}: {reason}")]
    Certificate {
        /// Its id.
        certificate: Arc<str>,
        /// What is wrong.
        #[source]
        reason: UnusableCertificate,
    },
    /// A host name of a listener has no certificate that can be used.
    #[error("listener {listener:?} has no certificate for {host:?}")]
    NoCertificate {
        /// The id of the listener.
        listener: Arc<str>,
        /// The host name.
        host: Arc<str>,
    },
    /// A listener has no TLS.
    #[error("listener {listener:?}: {reason}")]
    Listener {
        /// The id of the listener.
        listener: Arc<str>,
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
    certificates: BTreeMap<Arc<str>, Certificate>,
    https: BTreeMap<Arc<str>, Https>,
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
    listener: HttpsListener,
    keys: Vec<(Arc<str>, Vec<Arc<CertifiedKey>>)>,
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
        let https = inputs
            .https
            .iter()
            .filter_map(|(id, listener)| {
                let keys = keys(id, listener, &certificates, &mut faults);
                match Https::build(listener, keys, previous.https.get(id)) {
                    Ok(https) => Some((Arc::clone(id), https)),
                    Err(reason) => {
                        faults.push(Fault::Listener { listener: Arc::clone(id), reason });
                        None
                    }
                }
            })
            .collect();
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

    /// The TLS of an HTTPS listener.
    pub fn https(&self, listener: &str) -> Option<&Arc<ServerConfig>> {
        self.https.get(listener).map(|https| &https.config)
    }

    /// When each server certificate ends, for the metrics.
    pub fn certificates(&self) -> impl Iterator<Item = (&Arc<str>, Option<UnixTime>)> {
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
) -> BTreeMap<Arc<str>, Certificate> {
    let mut certificates = BTreeMap::new();
    for (id, pem) in &inputs.certificates {
        let old = previous.certificates.get(id);
        let certificate = match old {
            Some(old) if old.pem == *pem => Some(old.clone()),
            _ => match server::certified_key(&pem.chain, &pem.key) {
                Ok(key) => Some(Certificate { pem: pem.clone(), key }),
                Err(reason) => {
                    faults.push(Fault::Certificate { certificate: Arc::clone(id), reason });
                    old.cloned()
                }
            },
        };
        certificates.extend(certificate.map(|certificate| (Arc::clone(id), certificate)));
    }
    certificates
}

fn keys(
    id: &Arc<str>,
    listener: &HttpsListener,
    certificates: &BTreeMap<Arc<str>, Certificate>,
    faults: &mut Vec<Fault>,
) -> Vec<(Arc<str>, Vec<Arc<CertifiedKey>>)> {
    let mut all = Vec::with_capacity(listener.names.len());
    for (host, ids) in &listener.names {
        let keys: Vec<_> = ids
            .iter()
            .filter_map(|id| certificates.get(id))
            .map(|certificate| Arc::clone(&certificate.key))
            .collect();
        if keys.is_empty() {
            faults.push(Fault::NoCertificate {
                listener: Arc::clone(id),
                host: Arc::clone(host),
            });
        }
        // Also without a key: its name must not fall to the certificate of a wider one.
        all.push((Arc::clone(host), keys));
    }
    all
}

// === impl Https ===

impl Https {
    fn build(
        listener: &HttpsListener,
        keys: Vec<(Arc<str>, Vec<Arc<CertifiedKey>>)>,
        previous: Option<&Self>,
    ) -> Result<Self, UnusableListener> {
        if let Some(previous) = previous
            && previous.listener == *listener
            && same_keys(&previous.keys, &keys)
        {
            return Ok(previous.clone());
        }
        let mut certificates = Certificates::default();
        for (host, keys) in &keys {
            certificates.insert(host, keys.clone());
        }
        let config = server::server_config(certificates, &listener.clients)?;
        Ok(Self { listener: listener.clone(), keys, config })
    }
}

fn same_keys(
    a: &[(Arc<str>, Vec<Arc<CertifiedKey>>)],
    b: &[(Arc<str>, Vec<Arc<CertifiedKey>>)],
) -> bool {
    let pointers = |all: &[(Arc<str>, Vec<Arc<CertifiedKey>>)]| -> Vec<_> {
        all.iter().flat_map(|(_, keys)| keys.iter().map(Arc::as_ptr)).collect()
    };
    pointers(a) == pointers(b)
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
        faults.extend(rejected.into_iter().map(|(link, reason)| Fault::Link { link, reason }));
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

// === impl PemPair ===

impl fmt::Debug for PemPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PemPair")
    }
}
