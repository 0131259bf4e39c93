//! What the gateway changes of a head on its way, filters included.

use std::fmt::Write as _;
use std::net::IpAddr;

use config::table::{Filter, PortServes};
use smallvec::SmallVec;

use super::h1::{Change, Kind, OwnField, OwnLines, RequestHead};
use crate::connection::HttpConnection;
use crate::telemetry::{RequestId, TraceParent};

// What the gateway says itself.
static REQUEST_ID: OwnField = OwnField::new("x-request-id: ");
static TRACEPARENT: OwnField = OwnField::new("traceparent: ");
static FORWARDED_FOR: OwnField = OwnField::new("x-forwarded-for: ");
static FORWARDED_PROTO: OwnField = OwnField::new("x-forwarded-proto: ");
static FORWARDED_HOST: OwnField = OwnField::new("x-forwarded-host: ");
static FORWARDED_PORT: OwnField = OwnField::new("x-forwarded-port: ");
/// Changes of a request for which nothing is allocated: our own four at an ingress, and some filters.
const USUAL_CHANGES: usize = 8;
/// The same of an answer: a filter of the rule and one of the backend.
const USUAL_ANSWER_CHANGES: usize = 2;

/// Who sends the requests of a connection, as far as the next hop is told.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Somebody outside the cluster: what it says of its origin is replaced, by these lines and by
    /// the host of each request.
    Outside(OwnLines),
    /// A pod of this cluster that calls a mirrored Service: the gateway is not there.
    Inside,
}

impl Origin {
    /// Of all requests on this connection.
    pub(crate) fn of(call: &HttpConnection) -> Self {
        match call.port.serves {
            PortServes::Mirrored(_) => Self::Inside,
            // The port is the listener's, not the container's.
            PortServes::Http(_) | PortServes::Tls(_) => {
                Self::outside(call.peer.ip(), call.tls.is_some(), call.port.owner.port)
            }
        }
    }

    fn outside(client: IpAddr, tls: bool, port: u16) -> Self {
        let client = client.to_canonical().to_string();
        let proto: &[u8] = if tls { b"https" } else { b"http" };
        Self::Outside(OwnLines::new([
            (&FORWARDED_FOR, client.as_bytes()),
            (&FORWARDED_PROTO, proto),
            (&FORWARDED_PORT, port.to_string().as_bytes()),
        ]))
    }
}

/// What names a request and its trace.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Names the request.
    pub(crate) id: RequestId,
    /// Its trace, as the next hop is told.
    traceparent: [u8; TraceParent::TEXT_BYTES],
}

impl Ids {
    /// What the client sent, or new ones, made of `chance`.
    pub(crate) fn of(head: &RequestHead, chance: &mut impl FnMut() -> u64) -> Self {
        let first = |kind| head.of_kind(kind).next().map(|(_, value)| value);
        let sent = first(Kind::Trace).and_then(TraceParent::parse);
        let trace = TraceParent::next(sent.as_ref(), chance);
        Self { id: RequestId::take_or_make(first(Kind::Id), chance), traceparent: trace.text() }
    }

    /// Names the trace.
    pub(crate) fn trace_id(&self) -> &str {
        TraceParent::trace_id_of(&self.traceparent)
    }
}

/// What changes of one request.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    /// Its names.
    pub(crate) ids: &'a Ids,
    /// Our own fields first, so that a filter has the last word on all others.
    changes: SmallVec<[Change<'a>; USUAL_CHANGES]>,
}

/// What changes of its answer.
pub(crate) type AnswerChanges<'a> = SmallVec<[Change<'a>; USUAL_ANSWER_CHANGES]>;

impl<'a> Prepared<'a> {
    /// Gathers our own changes.
    pub(crate) fn new(head: &'a RequestHead, origin: &'a Origin, ids: &'a Ids) -> Self {
        let mut changes = SmallVec::new();
        if let Origin::Outside(_) = origin {
            // At an ingress only the gateway's own word counts.
            for (name, _) in head.of_kind(Kind::Origin) {
                changes.push(Change::Remove(name));
            }
        }
        changes.push(Change::Own(&REQUEST_ID, ids.id.as_bytes()));
        changes.push(Change::Own(&TRACEPARENT, &ids.traceparent));
        if let Origin::Outside(lines) = origin {
            changes.push(Change::Own(&FORWARDED_HOST, head.host_bytes()));
            changes.push(Change::OwnLines(lines));
        }
        Self { ids, changes }
    }

    /// Adds the request filters of a rule or a backend.
    pub(crate) fn filter(&mut self, filters: &'a [Filter]) {
        for filter in filters {
            if let Filter::RequestHeaders(change) = filter {
                self.changes.push(Change::Filter(change));
            }
        }
    }

    /// The changes in order.
    pub(crate) fn changes(&self) -> &[Change<'a>] {
        &self.changes
    }
}

/// The response filters of a rule and its backend, in order.
pub(crate) fn response_changes<'a>(rule: &'a [Filter], backend: &'a [Filter]) -> AnswerChanges<'a> {
    let mut changes = AnswerChanges::new();
    for filter in rule.iter().chain(backend) {
        if let Filter::ResponseHeaders(change) = filter {
            changes.push(Change::Filter(change));
        }
    }
    changes
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
