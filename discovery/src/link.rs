//! Reads `ClusterLink`s: a link that is not sound is none, and says why.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use config::api::ClusterLink;
use config::api::cluster_link::{BundleRef, DEFAULT_PORT, Import, Staleness};
use config::model::identity::{SpiffeId, TrustDomain};
use config::model::{Kind, LinkName, Name, ObjectRef};
use imbl::OrdMap;

use crate::catalog::{ExportRule, NamespaceLabels, Quota};

/// How many addresses a link may name, as its schema says.
const ADDRESSES_MAX: usize = 16;
/// How many SPIFFE IDs a link may name, as its schema says.
const GATEWAYS_MAX: usize = 16;
/// The longest bundle: some hundred certificates.
const BUNDLE_BYTES_MAX: usize = 512 * 1024;
/// What a bundle has at least one of.
const PEM_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// Our relation to one remote cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The name of its `ClusterLink`.
    pub name: LinkName,
    /// The name of the remote cluster.
    pub cluster: Arc<str>,
    /// Where its gateways are reached.
    pub addresses: Arc<[Address]>,
    /// Who vouches for its identities.
    pub trust_domain: TrustDomain,
    /// The certificates that its identities end in, and nobody else's, as PEM.
    pub bundle: Arc<str>,
    /// Its gateways; nobody else is a peer.
    pub gateways: Arc<[SpiffeId]>,
    /// What is taken from it.
    pub import: Import,
    /// What it may see.
    pub export: ExportRule,
    /// What happens to its endpoints while nothing is heard of it.
    pub staleness: Staleness,
    /// How much is taken from it at most.
    pub quota: Quota,
}

/// Where a gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// By its address.
    Ip(SocketAddr),
    /// By a name that is resolved again and again.
    Host(Arc<str>, u16),
}

/// Who we are: no link may say that it is us.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The name of our cluster.
    pub cluster: &'a str,
    /// Our trust domain.
    pub trust_domain: &'a TrustDomain,
}

/// A link that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRejection {
    /// The `ClusterLink`.
    pub object: ObjectRef,
    /// Its generation, for `observedGeneration`.
    pub generation: Option<i64>,
    /// Why.
    pub reason: LinkReason,
    /// A sentence for the condition.
    pub message: String,
}

/// Why a link is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkReason {
    /// It names our own cluster.
    OwnCluster,
    /// No address, too many, or one that is none.
    InvalidAddress,
    /// No trust domain, or one that SPIFFE does not allow.
    InvalidTrustDomain,
    /// The trust domain is ours.
    OwnTrustDomain,
    /// An older link has the same trust domain.
    DuplicateTrustDomain,
    /// An older link has the same cluster name.
    DuplicateCluster,
    /// A gateway's SPIFFE ID is none, or of another trust domain.
    InvalidGateway,
    /// There is no bundle, not the one that is referred to, or it has no certificate.
    InvalidBundle,
}

impl LinkReason {
    /// The reason as it stands in a condition.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OwnCluster => "OwnCluster",
            Self::InvalidAddress => "InvalidAddress",
            Self::InvalidTrustDomain => "InvalidTrustDomain",
            Self::OwnTrustDomain => "OwnTrustDomain",
            Self::DuplicateTrustDomain => "DuplicateTrustDomain",
            Self::DuplicateCluster => "DuplicateCluster",
            Self::InvalidGateway => "InvalidGateway",
            Self::InvalidBundle => "InvalidBundle",
        }
    }
}

/// The text of a bundle that a link refers to, where there is one.
pub trait Bundles {
    /// The value of that key of that `ConfigMap` in Spanway's own namespace.
    fn bundle(&self, reference: &BundleRef) -> Option<Arc<str>>;
}

impl<F: Fn(&BundleRef) -> Option<Arc<str>>> Bundles for F {
    fn bundle(&self, reference: &BundleRef) -> Option<Arc<str>> {
        self(reference)
    }
}

/// All links that are sound, and what is wrong with the others. Of two with the same trust domain
/// or cluster name the older one stays, by creation and then by name: a newcomer takes nothing
/// over.
pub fn links(
    objects: &OrdMap<Name, Arc<ClusterLink>>,
    own: Own<'_>,
    bundles: &impl Bundles,
) -> (Vec<Link>, Vec<LinkRejection>) {
    let mut by_age: Vec<_> = objects.iter().collect();
    by_age.sort_by_key(|(name, object)| {
        let created = object.metadata.creation_timestamp.as_ref();
        (created.map_or(i64::MAX, |time| time.0.as_second()), (*name).clone())
    });
    let (mut links, mut rejections) = (Vec::new(), Vec::new());
    let mut trust_domains: BTreeMap<TrustDomain, LinkName> = BTreeMap::new();
    let mut clusters: BTreeMap<Arc<str>, LinkName> = BTreeMap::new();
    for (name, object) in by_age {
        let read = read(name, object, own, bundles).and_then(|link| {
            alone(&link, &trust_domains, &clusters)?;
            Ok(link)
        });
        match read {
            Ok(link) => {
                trust_domains.insert(link.trust_domain.clone(), Arc::clone(&link.name));
                clusters.insert(Arc::clone(&link.cluster), Arc::clone(&link.name));
                links.push(link);
            }
            Err((reason, message)) => rejections.push(LinkRejection {
                object: ObjectRef::new(Kind::ClusterLink, name.clone()),
                generation: object.metadata.generation,
                reason,
                message,
            }),
        }
    }
    links.sort_by(|a, b| a.name.cmp(&b.name));
    (links, rejections)
}

type Invalid = (LinkReason, String);

fn alone(
    link: &Link,
    trust_domains: &BTreeMap<TrustDomain, LinkName>,
    clusters: &BTreeMap<Arc<str>, LinkName>,
) -> Result<(), Invalid> {
    if let Some(other) = trust_domains.get(&link.trust_domain) {
        let message = format!("link {other} has the trust domain {} already", link.trust_domain);
        return Err((LinkReason::DuplicateTrustDomain, message));
    }
    if let Some(other) = clusters.get(&link.cluster) {
        let message = format!("link {other} names the cluster {} already", link.cluster);
        return Err((LinkReason::DuplicateCluster, message));
    }
    Ok(())
}

fn read(
    name: &Name,
    object: &ClusterLink,
    own: Own<'_>,
    bundles: &impl Bundles,
) -> Result<Link, Invalid> {
    let spec = &object.spec;
    if object.cluster() == own.cluster {
        let message = format!("the cluster {} is this cluster itself", own.cluster);
        return Err((LinkReason::OwnCluster, message));
    }
    let trust_domain: TrustDomain = spec
        .trust_domain
        .parse()
        .map_err(|why| (LinkReason::InvalidTrustDomain, format!("{why}")))?;
    if trust_domain == *own.trust_domain {
        let message = format!("the trust domain {trust_domain} is that of this cluster itself");
        return Err((LinkReason::OwnTrustDomain, message));
    }
    Ok(Link {
        name: Arc::clone(&name.name),
        cluster: object.cluster().into(),
        addresses: addresses(&spec.addresses)?,
        gateways: gateways(&object.gateways(), &trust_domain)?,
        trust_domain,
        bundle: bundle(object, bundles)?,
        import: spec.import.clone(),
        export: ExportRule::from(&spec.export),
        staleness: spec.staleness.clone(),
        quota: Quota {
            services: spec.quotas.services as usize,
            endpoints: spec.quotas.endpoints as usize,
            ..Quota::default()
        },
    })
}

fn addresses(texts: &[String]) -> Result<Arc<[Address]>, Invalid> {
    if texts.is_empty() || texts.len() > ADDRESSES_MAX {
        let message = format!("{} addresses, not 1 to {ADDRESSES_MAX}", texts.len());
        return Err((LinkReason::InvalidAddress, message));
    }
    let invalid = |text: &String| {
        (LinkReason::InvalidAddress, format!("`{text}` is no host name or IP address"))
    };
    texts.iter().map(|text| Address::parse(text).ok_or_else(|| invalid(text))).collect()
}

fn gateways(ids: &[String], trust_domain: &TrustDomain) -> Result<Arc<[SpiffeId]>, Invalid> {
    if ids.len() > GATEWAYS_MAX {
        let message = format!("{} gateways, more than {GATEWAYS_MAX}", ids.len());
        return Err((LinkReason::InvalidGateway, message));
    }
    let read = |text: &String| {
        let id: SpiffeId =
            text.parse().map_err(|why| (LinkReason::InvalidGateway, format!("{why}")))?;
        if id.is_root() || id.trust_domain() != *trust_domain {
            let message = format!("`{id}` names no workload of {trust_domain}");
            return Err((LinkReason::InvalidGateway, message));
        }
        Ok(id)
    };
    ids.iter().map(read).collect()
}

fn bundle(object: &ClusterLink, bundles: &impl Bundles) -> Result<Arc<str>, Invalid> {
    let invalid = |message: String| (LinkReason::InvalidBundle, message);
    let text = match (&object.spec.bundle, &object.spec.bundle_ref) {
        (Some(text), _) => text.as_str().into(),
        (None, Some(reference)) => bundles.bundle(reference).ok_or_else(|| {
            invalid(format!("ConfigMap {} has no `{}`", reference.name, reference.key()))
        })?,
        (None, None) => return Err(invalid("neither `bundle` nor `bundleRef` is set".to_owned())),
    };
    if text.len() > BUNDLE_BYTES_MAX {
        return Err(invalid(format!("{} bytes, more than {BUNDLE_BYTES_MAX}", text.len())));
    }
    if !text.contains(PEM_CERTIFICATE) {
        return Err(invalid("the bundle has no PEM certificate".to_owned()));
    }
    Ok(text)
}

impl Link {
    /// Whether services of the namespace are taken from the remote cluster.
    pub fn imports(&self, namespace: &str, namespaces: &NamespaceLabels) -> bool {
        let known = namespaces.get(namespace);
        let label = |key: &str| known.and_then(|labels| labels.get(key)).map(String::as_str);
        self.import.namespaces.contains(namespace, label)
    }
}

impl Address {
    /// Reads a host name or IP address, each with or without a port; IPv6 with a port stands in
    /// brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let ip = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = ip.parse::<IpAddr>() {
            return Some(Self::Ip(SocketAddr::new(ip, DEFAULT_PORT)));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0).then_some(Self::Ip(address));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, DEFAULT_PORT),
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        is_host(&host).then(|| Self::Host(host.into(), port))
    }
}

/// The longest DNS name.
const HOST_BYTES_MAX: usize = 253;

fn is_host(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| {
        let edges = !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && label.len() <= 63 && edges && label.bytes().all(letter)
    };
    // A name that ends in a number is meant as an address, and is none.
    let numeric = text.rsplit('.').next().is_some_and(|it| it.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= HOST_BYTES_MAX && !numeric && text.split('.').all(label)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
