//! `/api/v1/status`: how this process is.

use std::collections::BTreeMap;

use config::compile::CertificatePem;
use config::source::SourceState;
use discovery::link::LinkRejection;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::app::{Derived, Readiness, Views};
use crate::settings::{Role, SourceSettings};
use crate::snapshot::Snapshot;
use crate::telemetry::Metrics;

/// The source that is no directory.
const KUBERNETES: &str = "kubernetes";

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For ages.
    pub instant: Instant,
    /// For certificates.
    pub wall: Timestamp,
}

/// How a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The name of the cluster.
    pub cluster: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// The pod.
    pub pod: String,
    /// Its instance id, as other gateways know it.
    pub instance: String,
    /// `gateway`, `controller` or `all`.
    pub role: String,
    /// What `/ready` says.
    pub ready: bool,
    /// What a gateway waits for before it is ready.
    pub readiness: Vec<Part>,
    /// Whether it leaves.
    pub leaving: bool,
    /// Whether this process leads the controllers.
    pub leading: bool,
    /// The version of the routing table that requests read.
    pub table_version: u64,
    /// How many container ports the table has.
    pub ports: usize,
    /// How the source is.
    pub source: Source,
    /// Our own certificate first, then those of Gateways.
    pub certificates: Vec<Certificate>,
    /// All links, sound or not.
    pub links: Vec<Link>,
    /// All exports, valid or not.
    pub exports: Vec<Export>,
    /// What is wrong with certificates and with the trust of links.
    pub faults: Vec<String>,
}

/// One part of being ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    pub part: String,
    /// Whether it is there.
    pub done: bool,
}

/// How the source is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `kubernetes`, or the directory.
    pub source: String,
    /// Whether everything was listed once.
    pub synced: bool,
    /// How old its state is, where something fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// What is wrong: watches that fail, objects and files that cannot be read.
    pub problems: Vec<String>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `svid` for our own, `secret` for one of a Gateway.
    pub kind: String,
    /// The pod or the Secret.
    pub name: String,
    /// When it ends, as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The same in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The same in seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<i64>,
    /// What went wrong with it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The name of the remote cluster.
    pub cluster: String,
    /// The trust domain of the remote cluster.
    pub trust_domain: String,
    /// Whether the catalog stream stands.
    pub connected: bool,
    /// Whether a catalog was received since the start.
    pub received: bool,
    /// `Fresh`, `Stale` or `Lost`.
    pub freshness: String,
    /// How old what we know is; absent before anything was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Services in its catalog.
    pub services: usize,
    /// Endpoints in its catalog.
    pub endpoints: usize,
    /// Where its gateways are.
    pub addresses: Vec<String>,
    /// Why it does not work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Peers that were refused since the start, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// A reason in CamelCase and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The reason.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// An export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The Service.
    pub service: String,
    /// Its ports, such as `80/TCP`.
    pub ports: Vec<String>,
    /// How many endpoints take new requests.
    pub endpoints: usize,
    /// The links that may see it.
    pub links: Vec<String>,
    /// Why nobody sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl Status {
    /// How the process with these `views` is.
    pub fn of(views: &Views, now: Moment) -> Self {
        let settings = &views.settings;
        let snapshot = views.published.load_full();
        let derived = views.derived.borrow().clone();
        let readiness = views.readiness.borrow().clone();
        let source = source(&settings.source, &views.source.borrow(), now);
        let carries = settings.role.carries();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: settings.cluster.to_string(),
            trust_domain: settings.trust_domain.as_str().to_owned(),
            pod: settings.pod.name.to_string(),
            instance: settings.pod.uid.to_string(),
            role: role(settings.role).to_owned(),
            ready: if carries { readiness.is_ready() } else { source.synced },
            readiness: if carries { parts(&readiness) } else { Vec::new() },
            leaving: readiness.leaving,
            leading: *views.leading.borrow(),
            table_version: snapshot.table.version,
            ports: snapshot.table.ports.len(),
            source,
            certificates: certificates(views, &derived, now),
            links: links(&derived, &views.metrics, now),
            exports: exports(&derived, &snapshot),
            faults: derived.faults.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether the process is ready and every link works.
    pub fn is_well(&self) -> bool {
        let works = |link: &Link| link.connected && link.problem.is_none();
        self.ready && self.faults.is_empty() && self.links.iter().all(works)
    }

    /// Brings the metrics up to date that say how something is, not what happened.
    pub fn measure(&self, metrics: &Metrics) {
        metrics.forget_states();
        for link in &self.links {
            let age = std::time::Duration::from_secs(link.age_seconds.unwrap_or_default());
            metrics.link(&link.name, link.connected, age);
        }
        for certificate in &self.certificates {
            if let Some(at) = certificate.expires_at {
                metrics.certificate_expiry(&certificate.kind, &certificate.name, at);
            }
        }
        let age = std::time::Duration::from_secs(self.source.age_seconds.unwrap_or_default());
        let kind = if self.source.source == KUBERNETES { KUBERNETES } else { "directory" };
        metrics.source_age(kind, age);
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Gateway => "gateway",
        Role::Controller => "controller",
        Role::All => "all",
    }
}

fn parts(readiness: &Readiness) -> Vec<Part> {
    let parts = [
        ("source listed", readiness.source_listed),
        ("certificate held", readiness.certificate_held),
        ("listeners bound", readiness.listeners_bound),
        ("catalogs received", readiness.catalogs_received),
        ("in slices", readiness.in_slices),
    ];
    parts.into_iter().map(|(part, done)| Part { part: part.to_owned(), done }).collect()
}

fn source(settings: &SourceSettings, state: &SourceState, now: Moment) -> Source {
    let source = match settings {
        SourceSettings::Kubernetes => KUBERNETES.to_owned(),
        SourceSettings::Directory(path) => path.display().to_string(),
    };
    let mut failing: Vec<_> = state
        .kinds
        .iter()
        .filter_map(|(kind, it)| Some(format!("{}: {}", kind.label(), it.failing.as_deref()?)))
        .collect();
    failing.dedup_by(|one, other| one == other);
    let refused = state.refused.iter().map(|(object, why)| format!("{object}: {why}"));
    let files = state.problems.iter().map(ToString::to_string);
    Source {
        source,
        synced: state.synced,
        age_seconds: state.age(now.instant).map(|age| age.as_secs()),
        problems: failing.into_iter().chain(refused).chain(files).collect(),
    }
}

fn certificates(views: &Views, derived: &Derived, now: Moment) -> Vec<Certificate> {
    let status = views.certificate.borrow().clone();
    let until = status.until.and_then(|until| i64::try_from(until.as_secs()).ok());
    let name = views.settings.pod.name.to_string();
    let own = certificate("svid", name, (until, status.error), now);
    let of_secrets =
        derived.compiled.certificates.iter().map(|(name, pem)| {
            certificate("secret", name.to_string(), (not_after(pem), None), now)
        });
    std::iter::once(own).chain(of_secrets).collect()
}

fn certificate(
    kind: &str,
    name: String,
    (at, problem): (Option<i64>, Option<String>),
    now: Moment,
) -> Certificate {
    let expires = at.and_then(|at| Timestamp::from_second(at).ok());
    Certificate {
        kind: kind.to_owned(),
        name,
        expires: expires.map(|at| at.to_string()),
        expires_at: at,
        expires_in_seconds: at.map(|at| at.saturating_sub(now.wall.as_second())),
        problem,
    }
}

/// When the first certificate of a chain ends.
fn not_after(pem: &CertificatePem) -> Option<i64> {
    let leaf = CertificateDer::pem_slice_iter(&pem.chain).next()?.ok()?;
    let (_, read) = x509_parser::parse_x509_certificate(&leaf).ok()?;
    Some(read.validity().not_after.timestamp())
}

fn links(derived: &Derived, metrics: &Metrics, now: Moment) -> Vec<Link> {
    let sound = derived.links.iter().map(|link| {
        let mut view = Link {
            name: link.name.to_string(),
            cluster: link.cluster.to_string(),
            trust_domain: link.trust_domain.as_str().to_owned(),
            freshness: "Lost".to_owned(),
            refused: metrics.refused_peers(&link.name),
            ..Link::default()
        };
        if let Some(known) = derived.known.get(&link.name) {
            let state = &known.state;
            let services = &state.catalog.services;
            let age = discovery::freshness::age(state.heard, now.instant);
            view.connected = state.connected;
            view.received = state.received;
            state.freshness.label().clone_into(&mut view.freshness);
            view.age_seconds = age.map(|age| age.as_secs());
            view.services = services.len();
            view.endpoints = services.values().map(|service| service.endpoints.len()).sum();
            view.addresses = state.addresses.iter().map(ToString::to_string).collect();
            let problem = |(reason, message): &(std::sync::Arc<str>, String)| Problem {
                reason: reason.to_string(),
                message: message.clone(),
            };
            view.problem = state.problem.as_ref().map(problem);
        }
        view
    });
    let mut links: Vec<_> = sound.chain(derived.rejected_links.iter().map(rejected)).collect();
    links.sort_by(|one, other| one.name.cmp(&other.name));
    links
}

fn rejected(rejection: &LinkRejection) -> Link {
    let (reason, message) = (rejection.reason.label().to_owned(), rejection.message.clone());
    Link {
        name: rejection.object.name.to_string(),
        freshness: "Lost".to_owned(),
        problem: Some(Problem { reason, message }),
        ..Link::default()
    }
}

fn exports(derived: &Derived, snapshot: &Snapshot) -> Vec<Export> {
    let valid = derived.exports.services.iter().map(|(name, exported)| {
        let ports = exported.service.ports.iter();
        let sees = snapshot.offers.iter().filter(|(_, it)| it.catalog.services.contains_key(name));
        let mut links: Vec<_> = sees.map(|(link, _)| link.to_string()).collect();
        links.sort();
        Export {
            service: name.to_string(),
            ports: ports
                .map(|port| format!("{}/{}", port.number, port.transport.label()))
                .collect(),
            endpoints: exported.service.endpoints.len(),
            links,
            problem: None,
        }
    });
    let rejections = derived.exports.rejections.iter().map(|(name, rejection)| {
        let (reason, message) = (rejection.reason.label().to_owned(), rejection.message.clone());
        let problem = Some(Problem { reason, message });
        Export { service: name.to_string(), problem, ..Export::default() }
    });
    let mut exports: Vec<_> = valid.chain(rejections).collect();
    exports.sort_by(|one, other| one.service.cmp(&other.service));
    exports
}
