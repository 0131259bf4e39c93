//! Which rule takes a request, on the connection that carries it.

use std::net::SocketAddr;
use std::sync::Arc;

use config::model::BackendKey;
use config::table::{
    MirroredPort, PortOwner, PortServes, Rule, SniAction, SniTable, TlsTermination, VirtualHosts,
};

use super::failure::Failure;
use super::h1::RequestHead;
use crate::snapshot::Snapshot;

/// What a connection is, for all its requests.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// The container port that accepted it.
    pub local_port: u16,
    /// Whose port that was: the connection keeps it.
    pub owner: PortOwner,
    /// The client.
    pub peer: SocketAddr,
    /// How TLS was ended here, if it was.
    pub tls: Option<Terminated>,
}

/// A connection whose TLS was ended here.
#[derive(Clone, Debug)]
pub struct Terminated {
    /// The SNI, lower case; empty where the client sent none.
    pub server_name: Arc<str>,
    /// What the handshake was done with.
    pub by: Arc<TlsTermination>,
}

/// Who answers a request.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A rule of a route.
    Rule(Arc<Rule>),
    /// The endpoints behind a mirrored port that no route rules.
    Mirrored(BackendKey),
}

/// Finds who answers. Rules are those of the snapshot, not of the time when the connection came.
pub(crate) fn find(
    snapshot: &Snapshot,
    carrier: &Carrier,
    head: &RequestHead,
) -> Result<Found, Failure> {
    let port = snapshot.table.port(carrier.local_port).ok_or(Failure::NoRoute)?;
    if port.owner != carrier.owner {
        // The port was given to somebody else; this connection was not made for them.
        return Err(Failure::NoRoute);
    }
    let rule = match (&port.serves, &carrier.tls) {
        (PortServes::Http(hosts), None) => find_rule(hosts, head),
        (PortServes::Tls(table), Some(tls)) => find_behind_tls(table, tls, head)?,
        (PortServes::Mirrored(mirrored), None) => return find_mirrored(mirrored, head),
        _ => return Err(Failure::Misdirected),
    };
    rule.map(Found::Rule).ok_or(Failure::NoRoute)
}

fn find_rule(hosts: &VirtualHosts, head: &RequestHead) -> Option<Arc<Rule>> {
    hosts.find(&Asked::new(head)).map(Arc::clone)
}

/// A request is served only from the virtual hosts of the TLS context that its connection was
/// accepted for: same certificates, same demands on the client (RFC 9110 section 7.4).
fn find_behind_tls(
    table: &SniTable,
    tls: &Terminated,
    head: &RequestHead,
) -> Result<Option<Arc<Rule>>, Failure> {
    let Some(action) = table.actions.find(&tls.server_name) else {
        return Err(Failure::Misdirected);
    };
    let SniAction::Terminate(now) = action.as_ref() else { return Err(Failure::Misdirected) };
    if now.client_auth != tls.by.client_auth {
        return Err(Failure::Misdirected);
    }
    let rule = find_rule(&now.hosts, head);
    let asked = Asked::new(head);
    let other = table.actions.find(&asked.host).filter(|other| !Arc::ptr_eq(other, action));
    match (&rule, other) {
        // The host belongs to another listener of this port.
        (_, Some(_)) if !tls.server_name.is_empty() => Err(Failure::Misdirected),
        _ => Ok(rule),
    }
}

fn find_mirrored(mirrored: &MirroredPort, head: &RequestHead) -> Result<Found, Failure> {
    match &mirrored.routes {
        Some(hosts) => find_rule(hosts, head).map(Found::Rule).ok_or(Failure::NoRoute),
        None => Ok(Found::Mirrored(mirrored.backend.clone())),
    }
}

/// A head as the routing table asks for it.
pub(crate) struct Asked<'a> {
    head: &'a RequestHead,
    host: std::borrow::Cow<'a, str>,
}

impl<'a> Asked<'a> {
    /// Lowers the host where it has to be.
    pub(crate) fn new(head: &'a RequestHead) -> Self {
        let host = head.host_name();
        let is_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
        let host = if is_upper { host.to_ascii_lowercase().into() } else { host.into() };
        Self { head, host }
    }
}

impl config::table::Request for Asked<'_> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn path(&self) -> &str {
        self.head.path()
    }

    fn query(&self) -> Option<&str> {
        self.head.query()
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn header<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> + 'b {
        self.head.headers(name)
    }
}
