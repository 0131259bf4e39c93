//! Which rule takes a request, on the connection that carries it.

use std::borrow::Cow;
use std::sync::Arc;

use config::model::BackendKey;
use config::table::{
    Filter, MirroredPort, Owned, PortServes, Rule, SniAction, SniTable, Timeouts, TlsTermination,
    VirtualHosts,
};

use super::failure::Failure;
use super::h1::RequestHead;
use crate::connection::{HttpConnection, Tls};
use crate::upstream::split::split;

/// Who answers a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// A rule of a route.
    Rule(&'a Rule),
    /// The endpoints behind a mirrored port that no route rules.
    Mirrored(&'a BackendKey),
}

impl<'a> Found<'a> {
    /// What is done to every request.
    pub(crate) fn filters(self) -> &'a [Filter] {
        match self {
            Self::Rule(rule) => &rule.filters,
            Self::Mirrored(_) => &[],
        }
    }

    /// How long it may take.
    pub(crate) fn timeouts(self) -> Timeouts {
        match self {
            Self::Rule(rule) => rule.timeouts,
            Self::Mirrored(_) => Timeouts::default(),
        }
    }

    /// The backend that `chance` falls on: its own filters, and whose endpoints it means.
    pub(crate) fn backend(self, chance: u64) -> Result<(&'a [Filter], &'a BackendKey), Failure> {
        match self {
            Self::Rule(rule) => {
                split(&rule.backends, chance).map(|(backend, key)| (&*backend.filters, key))
            }
            Self::Mirrored(key) => Ok((&[], key)),
        }
    }
}

/// Finds who answers. Rules are those of `port`, the connection's as it is now, not of the time when
/// the connection came.
pub(crate) fn find<'a>(
    port: Option<Owned<'a>>,
    call: &HttpConnection,
    head: &RequestHead,
) -> Result<Found<'a>, Failure> {
    // A port that was given to somebody else is none: this connection was not made for them.
    let Owned { port, .. } = port.ok_or(Failure::NoRoute)?;
    let rule = match (&port.serves, &call.tls) {
        (PortServes::Http(hosts), None) => find_rule(hosts, head),
        (PortServes::Tls(table), Some(tls)) => {
            let changed = !Arc::ptr_eq(port, &call.port);
            find_behind_tls((table, changed), call, tls, head)?
        }
        (PortServes::Mirrored(mirrored), None) => return find_mirrored(mirrored, head),
        _ => return Err(Failure::Misdirected),
    };
    rule.map(Found::Rule).ok_or(Failure::NoRoute)
}

fn find_rule<'a>(hosts: &'a VirtualHosts, head: &RequestHead) -> Option<&'a Rule> {
    hosts.find(&Asked::new(head)).map(AsRef::as_ref)
}

/// A request is served only from the virtual hosts of the TLS context that its connection was
/// accepted for (RFC 9110 section 7.4). The table may have changed since then.
fn find_behind_tls<'a>(
    (table, changed): (&'a SniTable, bool),
    call: &HttpConnection,
    tls: &Tls,
    head: &RequestHead,
) -> Result<Option<&'a Rule>, Failure> {
    let sni = tls.sni.as_deref().unwrap_or_default();
    let action = table.actions.find(sni.as_bytes()).ok_or(Failure::Misdirected)?;
    let SniAction::Terminate(now) = action.as_ref() else { return Err(Failure::Misdirected) };
    if changed && asks_otherwise(call, sni, now) {
        return Err(Failure::Misdirected);
    }
    let asked = Asked::new(head);
    // Most clients ask for the host that they named before.
    if *asked.host != *sni.as_bytes() && !sni.is_empty() {
        let other = table.actions.find(&asked.host);
        // The host belongs to another listener of this port.
        if other.is_some_and(|other| !Arc::ptr_eq(other, action)) {
            return Err(Failure::Misdirected);
        }
    }
    Ok(now.hosts.find(&asked).map(AsRef::as_ref))
}

/// Whether clients have to present something else now than when the connection was accepted.
fn asks_otherwise(call: &HttpConnection, sni: &str, now: &TlsTermination) -> bool {
    let PortServes::Tls(before) = &call.port.serves else { return true };
    match before.actions.find(sni.as_bytes()).map(AsRef::as_ref) {
        Some(SniAction::Terminate(then)) => then.client_auth != now.client_auth,
        _ => true,
    }
}

fn find_mirrored<'a>(mirrored: &'a MirroredPort, head: &RequestHead) -> Result<Found<'a>, Failure> {
    match &mirrored.routes {
        Some(hosts) => find_rule(hosts, head).map(Found::Rule).ok_or(Failure::NoRoute),
        None => Ok(Found::Mirrored(&mirrored.backend)),
    }
}

/// A head as the routing table asks for it.
pub(crate) struct Asked<'a> {
    head: &'a RequestHead,
    host: Cow<'a, [u8]>,
    path: &'a [u8],
}

impl<'a> Asked<'a> {
    /// Lowers the host where it has to be.
    pub(crate) fn new(head: &'a RequestHead) -> Self {
        let host = head.host_name();
        let host = if head.has_capitals() { host.to_ascii_lowercase().into() } else { host.into() };
        Self { head, host, path: head.path_bytes() }
    }
}

impl config::table::Request for Asked<'_> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn query(&self) -> Option<&str> {
        self.head.query()
    }

    fn host(&self) -> &[u8] {
        &self.host
    }

    fn header<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> + 'b {
        self.head.headers(name)
    }
}

#[cfg(test)]
mod tests;
