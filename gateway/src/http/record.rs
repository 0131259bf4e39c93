//! What is remembered of a request for its log line and its metrics.

use std::sync::Arc;
use std::time::Instant;

use config::table::RuleId;
use discovery::endpoint::{Endpoint, Reach};

use super::attempt::Switched;
use super::failure::Failure;
use super::forward::Progress;
use super::h1::RequestHead;
use super::prepare::Prepared;
use super::proxy::Proxy;
use super::route::Found;
use crate::connection::HttpConnection;
use crate::connection::first::Version;
use crate::telemetry::{Entry, RequestLabels};

/// Stands for this cluster where a remote one could be named.
const LOCAL: &str = "local";
/// Stands for a route where none was found.
const NO_ROUTE: &str = "none";

/// One request.
pub(crate) struct Record {
    began: Instant,
    method: String,
    authority: String,
    path: String,
    client: String,
    protocol: &'static str,
    sni: Arc<str>,
    rule: Option<RuleId>,
    service: Option<String>,
    id: String,
    trace_id: String,
    endpoint: Option<Arc<Endpoint>>,
    status: Option<u16>,
    own_bytes: u64,
    /// Endpoints tried.
    pub(crate) attempts: u32,
    /// What went wrong.
    pub(crate) failure: Option<Failure>,
    /// The two ends of a connection that changed its protocol.
    pub(crate) switched: Option<Switched>,
}

impl Record {
    /// Begins with what the client sent.
    pub(crate) fn new(call: &HttpConnection, head: &RequestHead, began: Instant) -> Self {
        Self {
            began,
            method: head.method().to_owned(),
            authority: head.host().to_owned(),
            path: head.path().to_owned(),
            client: call.peer.to_string(),
            protocol: if call.version == Version::Http2 { "HTTP/2" } else { "HTTP/1.1" },
            sni: call.tls.as_ref().and_then(|tls| tls.sni.clone()).unwrap_or_default(),
            rule: None,
            service: None,
            id: String::new(),
            trace_id: String::new(),
            endpoint: None,
            status: None,
            own_bytes: 0,
            attempts: 0,
            failure: None,
            switched: None,
        }
    }

    /// Notes who answers.
    pub(crate) fn found(&mut self, found: &Found) {
        match found {
            Found::Rule(rule) => self.rule = Some(rule.id.clone()),
            Found::Mirrored(backend) => self.service = Some(backend.to_string()),
        }
    }

    /// Notes the names that were given.
    pub(crate) fn named(&mut self, prepared: &Prepared) {
        prepared.id.as_str().clone_into(&mut self.id);
        self.trace_id = prepared.trace.trace_id_text();
    }

    /// Notes which endpoint is tried.
    pub(crate) fn tries(&mut self, endpoint: &Arc<Endpoint>) {
        self.endpoint = Some(Arc::clone(endpoint));
    }

    /// Notes an answer of our own.
    pub(crate) const fn answered(&mut self, status: u16, bytes: u64) {
        self.status = Some(status);
        self.own_bytes = bytes;
    }

    /// Counts and logs the request.
    pub(crate) fn end(&self, proxy: &Proxy, progress: &Progress) {
        let took = self.began.elapsed();
        let status = progress.status().or(self.status).unwrap_or_default();
        let route = match (&self.rule, &self.service) {
            (Some(rule), _) => rule.route.to_string(),
            (None, Some(service)) => service.clone(),
            (None, None) => NO_ROUTE.to_owned(),
        };
        let rule = self.rule.as_ref().map_or_else(String::new, |id| match &id.name {
            Some(name) => name.to_string(),
            None => id.index.to_string(),
        });
        let (cluster, endpoint) = match self.endpoint.as_deref() {
            None => (LOCAL, String::new()),
            Some(endpoint) => match &endpoint.reach {
                Reach::Direct(address) => (LOCAL, address.to_string()),
                Reach::Via(target) => (target.link.as_ref(), endpoint.id.to_string()),
            },
        };
        let flags = self.failure.map_or("-", Failure::flag);
        let labels = RequestLabels {
            route: &route,
            rule: &rule,
            cluster,
            method: &self.method,
            status,
            flags,
        };
        proxy.metrics.request(&labels, took);
        if !proxy.log.is_on() {
            return;
        }
        proxy.log.write(Entry {
            ts: jiff::Timestamp::now().to_string(),
            request_id: self.id.clone(),
            trace_id: self.trace_id.clone(),
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            protocol: self.protocol,
            cluster: cluster.to_owned(),
            route,
            rule,
            endpoint,
            status,
            flags,
            duration_ms: took.as_secs_f64() * 1000.0,
            bytes_in: progress.sent(),
            bytes_out: progress.received() + self.own_bytes,
            attempts: self.attempts,
            client: self.client.clone(),
            sni: self.sni.to_string(),
        });
    }
}
