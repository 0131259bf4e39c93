//! What is remembered of a request for its log line and its metrics.

use std::fmt::Display;
use std::time::{Duration, Instant};

use discovery::endpoint::{Endpoint, Reach};

use super::attempt::Switched;
use super::failure::Failure;
use super::forward::Progress;
use super::prepare::Ids;
use super::proxy::Proxy;
use super::route::Found;
use super::serve::Request;
use crate::connection::first::Version;
use crate::telemetry::{Answerer, Entry, RequestLabels, known_method};

/// Stands for this cluster where a remote one could be named.
const LOCAL: &str = "local";

/// One request.
pub(crate) struct Record<'a> {
    /// The request.
    pub(crate) request: Request<'a>,
    found: Option<Found<'a>>,
    endpoint: Option<&'a Endpoint>,
    /// Status and bytes of an answer of our own.
    own: Option<(u16, u64)>,
    /// When the answer ended, if anybody looked at the clock.
    pub(crate) ended: Option<Instant>,
    /// Endpoints tried.
    pub(crate) attempts: u32,
    /// What went wrong.
    pub(crate) failure: Option<Failure>,
    /// The endpoint's end of a connection that changed its protocol.
    pub(crate) switched: Option<Switched>,
}

impl<'a> Record<'a> {
    /// Begins with what the client sent, and who answers.
    pub(crate) const fn new(request: Request<'a>, found: Option<&Found<'a>>) -> Self {
        Self {
            request,
            found: found.copied(),
            endpoint: None,
            own: None,
            ended: None,
            attempts: 0,
            failure: None,
            switched: None,
        }
    }

    /// Notes which endpoint is tried.
    pub(crate) const fn tries(&mut self, endpoint: &'a Endpoint) {
        self.endpoint = Some(endpoint);
    }

    /// Notes an answer of our own.
    pub(crate) const fn answered(&mut self, status: u16, bytes: u64) {
        self.own = Some((status, bytes));
    }

    /// Counts and logs the request.
    pub(crate) fn end(&self, proxy: &Proxy, ids: &Ids, progress: &Progress) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let took = ended.saturating_duration_since(self.request.began);
        let (status, own_bytes) = self.own.unwrap_or_default();
        let status = progress.status().unwrap_or(status);
        let cluster = match self.endpoint.map(|endpoint| &endpoint.reach) {
            Some(Reach::Via(target)) => &target.link,
            Some(Reach::Direct(_)) | None => LOCAL,
        };
        let labels = RequestLabels {
            answerer: match self.found {
                Some(Found::Rule(rule)) => Answerer::Rule(&rule.id),
                Some(Found::Mirrored(key)) => Answerer::Service(key),
                None => Answerer::Nobody,
            },
            cluster,
            method: known_method(self.request.head.method_bytes()),
            status,
            flags: self.failure.map_or("-", Failure::flag),
        };
        self.request.call.worker.tally().count(&labels, took);
        if proxy.log.is_on() {
            let bytes = (progress.sent(), progress.received() + own_bytes);
            self.log(proxy, &labels, ids, (took, bytes));
        }
    }

    fn log(
        &self,
        proxy: &Proxy,
        labels: &RequestLabels<'_>,
        ids: &Ids,
        (took, (bytes_in, bytes_out)): (Duration, (u64, u64)),
    ) {
        let Request { call, head, .. } = self.request;
        let entry = Entry {
            ts: jiff::Timestamp::now(),
            request_id: ids.id.as_str(),
            trace_id: ids.trace_id(),
            method: head.method(),
            authority: head.host(),
            path: head.path(),
            protocol: if call.version == Version::Http2 { "HTTP/2" } else { "HTTP/1.1" },
            route: &labels.answerer,
            rule: &labels.answerer.rule(),
            cluster: labels.cluster,
            endpoint: self.endpoint.map_or(&"", name),
            status: labels.status,
            flags: labels.flags,
            duration_ms: took.as_secs_f64() * 1000.0,
            bytes_in,
            bytes_out,
            attempts: self.attempts,
            client: call.peer,
            sni: call.tls.as_ref().and_then(|tls| tls.sni.as_deref()).unwrap_or_default(),
        };
        proxy.log.write(call.worker.number(), &entry);
    }
}

/// How an endpoint is named: by its address, or the id that its cluster gave it.
fn name(endpoint: &Endpoint) -> &dyn Display {
    match &endpoint.reach {
        Reach::Direct(address) => address,
        Reach::Via(_) => &endpoint.id,
    }
}
