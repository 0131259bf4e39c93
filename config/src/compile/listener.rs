//! One listener of a Gateway: what it speaks, who may attach, and whether it can serve.

use std::collections::BTreeMap;

use super::gateway::Needs;
use super::reference::{CertificateRef, GATEWAY_GROUP, port_number};
use super::world::World;
use super::{certificate, client_auth};
use crate::api::cluster_link::Selector;
use crate::api::gateway::gateway as gw;
use crate::model::Name;
use crate::table::ClientAuth;
use crate::verdict::{Condition, Rejected};

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Https,
    /// TLS that is passed through.
    Tls,
}

/// From which namespaces routes may attach.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum From {
    Same,
    All,
    Selector(Selector),
    /// The selector cannot be read.
    Nowhere,
}

/// A listener.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) port: Option<u16>,
    /// Lower case, `*` for all.
    pub(super) host: String,
    /// `None`: one that we do not speak.
    pub(super) protocol: Option<Protocol>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) from: From,
    pub(super) rejected: Option<Rejected>,
    pub(super) conflict: Option<Rejected>,
    pub(super) unresolved: Option<Rejected>,
    pub(super) certificates: Vec<Name>,
    pub(super) client_auth: Option<ClientAuth>,
}

impl Listener {
    /// Whether routes see no difference.
    pub(super) fn admits_like(&self, other: &Self) -> bool {
        let seen = |one: &Self| (one.port, one.protocol, one.kinds.clone());
        seen(self) == seen(other)
            && self.name == other.name
            && self.host == other.host
            && self.from == other.from
    }

    /// Whether it is sound in itself, whatever it refers to.
    pub(super) const fn is_accepted(&self) -> bool {
        self.rejected.is_none() && self.conflict.is_none()
    }

    /// Whether it can serve connections as soon as its port is bound.
    pub(super) fn is_servable(&self) -> bool {
        let has_certificate = self.protocol != Some(Protocol::Https)
            || (!self.certificates.is_empty() && self.client_auth.is_some());
        self.is_accepted() && has_certificate
    }

    pub(super) fn conditions(&self) -> Vec<Condition> {
        let rejected = self.rejected.as_ref().or(self.conflict.as_ref());
        let mut conditions = vec![
            Condition::of("Accepted", "Accepted", rejected),
            Condition::of("ResolvedRefs", "ResolvedRefs", self.unresolved.as_ref()),
        ];
        conditions.push(match &self.conflict {
            Some(conflict) => Condition { holds: true, ..Condition::no("Conflicted", conflict) },
            None => Condition { holds: false, ..Condition::yes("Conflicted", "NoConflicts") },
        });
        conditions
    }
}

/// Reads one listener; conflicts with its siblings are found later.
pub(super) fn read(
    world: &World<'_>,
    gateway: &Name,
    (spec, tls): (&gw::GatewayListeners, Option<&gw::GatewayTls>),
    needs: &mut Needs,
) -> Listener {
    let (protocol, mut rejected) = match protocol(spec) {
        Ok(protocol) => (Some(protocol), None),
        Err(rejected) => (None, Some(rejected)),
    };
    let (kinds, mut unresolved) = kinds(spec, protocol);
    let port = port_number(spec.port);
    if port.is_none() {
        let message = format!("{} is no port number", spec.port);
        rejected = rejected.or_else(|| Some(Rejected::new("PortUnavailable", message)));
    }
    let mut certificates = Vec::new();
    let mut client_auth = Some(ClientAuth::NotAsked);
    if let (Some(Protocol::Https), Some(port)) = (protocol, port) {
        let (found, problem) = server_certificates(world, gateway, spec, needs);
        certificates = found;
        unresolved = unresolved.or(problem);
        let frontend = tls.and_then(|tls| tls.frontend.as_ref());
        let asked = client_auth::of_port(world, gateway, frontend, (port, needs));
        if let (None, Some(problem)) = (&asked.auth, &asked.problem) {
            rejected =
                rejected.or_else(|| Some(Rejected::new("NoValidCACertificate", &*problem.message)));
        }
        unresolved = unresolved.or(asked.problem);
        client_auth = asked.auth;
    }
    Listener {
        name: spec.name.clone(),
        port,
        host: host(spec.hostname.as_deref()),
        protocol,
        kinds,
        from: from(spec),
        rejected,
        conflict: None,
        unresolved,
        certificates,
        client_auth,
    }
}

/// A host name as the table holds it.
pub(super) fn host(name: Option<&str>) -> String {
    match name {
        None | Some("") => "*".to_owned(),
        Some(name) => name.to_ascii_lowercase(),
    }
}

fn protocol(spec: &gw::GatewayListeners) -> Result<Protocol, Rejected> {
    let passes = spec.tls.as_ref().and_then(|tls| tls.mode.as_ref())
        == Some(&gw::GatewayListenersTlsMode::Passthrough);
    match (spec.protocol.as_str(), passes) {
        ("HTTP", _) => Ok(Protocol::Http),
        ("HTTPS", false) => Ok(Protocol::Https),
        ("TLS", true) => Ok(Protocol::Tls),
        ("HTTPS", true) => {
            Err(Rejected::new("UnsupportedValue", "HTTPS cannot be passed through; use TLS"))
        }
        ("TLS", false) => {
            let message = "TLS is passed through only: mode Terminate is not supported";
            Err(Rejected::new("UnsupportedValue", message))
        }
        (other, _) => {
            let message = format!("protocol `{other}` is not supported");
            Err(Rejected::new("UnsupportedProtocol", message))
        }
    }
}

/// The kinds that may attach, and what is wrong with those that were asked for.
fn kinds(
    spec: &gw::GatewayListeners,
    protocol: Option<Protocol>,
) -> (Vec<&'static str>, Option<Rejected>) {
    let supported = match protocol {
        Some(Protocol::Http | Protocol::Https) => "HTTPRoute",
        Some(Protocol::Tls) => "TLSRoute",
        None => return (vec![], None),
    };
    let asked = spec.allowed_routes.as_ref().and_then(|allowed| allowed.kinds.as_ref());
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else {
        return (vec![supported], None);
    };
    let fits = |one: &&gw::GatewayListenersAllowedRoutesKinds| {
        one.kind == supported && one.group.as_deref().unwrap_or(GATEWAY_GROUP) == GATEWAY_GROUP
    };
    let kinds = if asked.iter().any(|one| fits(&one)) { vec![supported] } else { vec![] };
    let odd = asked.iter().find(|one| !fits(one));
    let problem = odd.map(|odd| {
        let message = format!("routes of kind {} cannot attach to this listener", odd.kind);
        Rejected::new("InvalidRouteKinds", message)
    });
    (kinds, problem)
}

fn from(spec: &gw::GatewayListeners) -> From {
    use gw::GatewayListenersAllowedRoutesNamespacesFrom as Allowed;
    let allowed = spec.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    match allowed.map(|allowed| (&allowed.from, &allowed.selector)) {
        None | Some((None | Some(Allowed::Same), _)) => From::Same,
        Some((Some(Allowed::All), _)) => From::All,
        Some((Some(Allowed::Selector), selector)) => {
            let value = serde_json::to_value(selector);
            let read = value.and_then(serde_json::from_value::<Option<Selector>>);
            read.ok().flatten().map_or(From::Nowhere, From::Selector)
        }
    }
}

fn server_certificates(
    world: &World<'_>,
    gateway: &Name,
    spec: &gw::GatewayListeners,
    needs: &mut Needs,
) -> (Vec<Name>, Option<Rejected>) {
    let references = spec.tls.as_ref().and_then(|tls| tls.certificate_refs.as_ref());
    let mut found = Vec::new();
    let mut problem = None;
    for reference in references.into_iter().flatten().map(CertificateRef::from) {
        match certificate::of_listener(world, gateway, &reference, needs) {
            Ok(name) => found.push(name),
            Err(rejected) => problem = problem.or(Some(rejected)),
        }
    }
    if found.is_empty() && problem.is_none() {
        let message = "an HTTPS listener needs a certificate";
        problem = Some(Rejected::new("InvalidCertificateRef", message));
    }
    (found, problem)
}

/// Marks listeners that cannot stand beside each other: none of them wins.
pub(super) fn find_conflicts(listeners: &mut [Listener]) {
    let mut ports: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, listener) in listeners.iter().enumerate() {
        if let (Some(port), Some(_)) = (listener.port, listener.protocol) {
            ports.entry(port).or_default().push(at);
        }
    }
    for (port, places) in ports {
        let on_port: Vec<(usize, bool, String)> = places
            .iter()
            .filter_map(|at| listeners.get(*at).map(|one| (*at, one)))
            .map(|(at, one)| (at, one.protocol == Some(Protocol::Http), one.host.clone()))
            .collect();
        for (at, plain, host) in &on_port {
            let clear = on_port.iter().any(|(_, other, _)| other != plain);
            let twin = on_port.iter().any(|(other, _, name)| other != at && name == host);
            let conflict = if clear {
                let message = format!("port {port} is to speak both HTTP and TLS");
                Some(Rejected::new("ProtocolConflict", message))
            } else if twin {
                let message = format!("another listener on port {port} has the host `{host}` too");
                Some(Rejected::new("HostnameConflict", message))
            } else {
                None
            };
            if let Some(listener) = listeners.get_mut(*at) {
                listener.conflict = conflict;
            }
        }
    }
}
