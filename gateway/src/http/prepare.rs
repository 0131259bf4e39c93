//! What the gateway changes of a head on its way, filters included.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use config::table::{Filter, HeaderChange};

use super::h1::{Change, RequestHead};
use crate::telemetry::{RequestId, TraceParent};

/// Fields that say where a request came from: at an ingress only the gateway's own word counts.
const ORIGIN_FIELDS: [&str; 3] = ["forwarded", "x-real-ip", "via"];
/// Families of the same.
const ORIGIN_PREFIXES: [&str; 2] = ["x-forwarded-", "x-spanway-"];

/// Who sent a request, as far as the next hop is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// From outside the cluster: what it says of its origin is replaced.
    Outside {
        /// The client's address.
        client: IpAddr,
        /// Whether it spoke TLS.
        tls: bool,
        /// `Host` as it came.
        host: &'a str,
        /// The listener's port, not the container's.
        port: u16,
    },
    /// A pod of this cluster calls a mirrored Service: the gateway is not there.
    Inside,
}

/// Values that the changes of one request borrow.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Names the request.
    pub(crate) id: RequestId,
    /// Its trace.
    pub(crate) trace: TraceParent,
    traceparent: String,
    forwarded: Option<Forwarded>,
    stale: Vec<String>,
    filters: Vec<Arc<HeaderChange>>,
}

#[derive(Debug)]
struct Forwarded {
    client: String,
    proto: &'static str,
    host: String,
    port: String,
}

impl Prepared {
    /// Gathers what changes; `chance` makes ids.
    pub(crate) fn new(head: &RequestHead, origin: Origin<'_>, chance: (u128, u128, u64)) -> Self {
        let sent = head.header("traceparent").and_then(TraceParent::parse);
        let trace = TraceParent::next(sent.as_ref(), chance.1, chance.2);
        let (forwarded, stale) = match origin {
            Origin::Inside => (None, Vec::new()),
            Origin::Outside { client, tls, host, port } => {
                let proto = if tls { "https" } else { "http" };
                let client = client.to_canonical().to_string();
                let (host, port) = (host.to_owned(), port.to_string());
                (Some(Forwarded { client, proto, host, port }), stale(head))
            }
        };
        Self {
            id: RequestId::take_or_make(head.header("x-request-id"), chance.0),
            traceparent: trace.header(),
            trace,
            forwarded,
            stale,
            filters: Vec::new(),
        }
    }

    /// Adds the request filters of a rule or a backend.
    pub(crate) fn filter(&mut self, filters: &[Filter]) {
        self.filters.extend(filters.iter().filter_map(|filter| match filter {
            Filter::RequestHeaders(change) => Some(Arc::clone(change)),
            Filter::ResponseHeaders(_) => None,
        }));
    }

    /// The changes in order: our own fields first, so that a filter has the last word on all others.
    pub(crate) fn changes(&self) -> Vec<Change<'_>> {
        let mut changes: Vec<_> = self.stale.iter().map(|name| Change::Remove(name)).collect();
        changes.push(Change::Set("x-request-id", self.id.as_str().as_bytes()));
        changes.push(Change::Set("traceparent", self.traceparent.as_bytes()));
        if let Some(Forwarded { client, proto, host, port }) = &self.forwarded {
            changes.push(Change::Set("x-forwarded-for", client.as_bytes()));
            changes.push(Change::Set("x-forwarded-proto", proto.as_bytes()));
            changes.push(Change::Set("x-forwarded-host", host.as_bytes()));
            changes.push(Change::Set("x-forwarded-port", port.as_bytes()));
        }
        for change in &self.filters {
            push(change, &mut changes);
        }
        changes
    }
}

/// The response filters of a rule and its backend, in order.
pub(crate) fn response_changes<'a>(rule: &'a [Filter], backend: &'a [Filter]) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    for filter in rule.iter().chain(backend) {
        if let Filter::ResponseHeaders(change) = filter {
            push(change, &mut changes);
        }
    }
    changes
}

fn push<'a>(change: &'a HeaderChange, changes: &mut Vec<Change<'a>>) {
    changes.extend(change.set.iter().map(|(name, value)| Change::Set(name, value)));
    changes.extend(change.add.iter().map(|(name, value)| Change::Add(name, value)));
    changes.extend(change.remove.iter().map(|name| Change::Remove(name)));
}

/// The names of fields that only the gateway may send on.
fn stale(head: &RequestHead) -> Vec<String> {
    let is_stale = |name: &&str| {
        let lower = name.to_ascii_lowercase();
        ORIGIN_FIELDS.contains(&lower.as_str())
            || ORIGIN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    };
    head.fields().map(|(name, _)| name).filter(is_stale).map(str::to_owned).collect()
}

/// The body of an answer of our own.
pub(crate) fn error_body(code: &str, id: &RequestId) -> String {
    let mut body = String::with_capacity(96);
    let written = writeln!(body, "spanway: {code} (request {})", id.as_str());
    debug_assert!(written.is_ok(), "writing to a String");
    body
}

#[cfg(test)]
mod tests;
