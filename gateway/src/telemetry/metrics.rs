//! What Prometheus scrapes. Labels come from objects, never from what a client sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::Collector as _;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Buckets of OpenTelemetry's `http.server.request.duration`, with two below for a proxy's own time.
const DURATION_BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

const REQUESTS: &str = "spanway_requests_total";
const DURATION: &str = "spanway_request_duration_seconds";
const CONNECTIONS: &str = "spanway_connections";
const CONNECTIONS_OPENED: &str = "spanway_connections_opened_total";
const CONNECT_FAILURES: &str = "spanway_upstream_connect_failures_total";
const REFUSED_PEERS: &str = "spanway_refused_peers_total";
const NOT_ISSUED: &str = "spanway_certificates_not_issued_total";
const MALFORMED: &str = "spanway_malformed_messages_total";
const SWAPS: &str = "spanway_config_swaps_total";
const LINK_UP: &str = "spanway_link_up";
const LINK_AGE: &str = "spanway_link_age_seconds";
const EXPIRY: &str = "spanway_certificate_expiry_timestamp_seconds";
const SOURCE_AGE: &str = "spanway_source_age_seconds";
const LOG_DROPPED: &str = "spanway_access_log_dropped_total";

/// What kind of connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// From a client, to a listener of a Gateway.
    Ingress,
    /// From a client, to a mirrored port.
    Mirrored,
    /// From a remote gateway.
    Link,
}

impl ConnectionKind {
    /// The label's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Mirrored => "mirrored",
            Self::Link => "link",
        }
    }
}

/// All metrics of a gateway.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    connections: IntGaugeVec,
    connections_opened: IntCounterVec,
    connect_failures: IntCounterVec,
    refused_peers: IntCounterVec,
    not_issued: IntCounterVec,
    malformed: IntCounterVec,
    swaps: IntCounterVec,
    swaps_total: Arc<AtomicU64>,
    link_up: IntGaugeVec,
    link_age: IntGaugeVec,
    certificate_expiry: IntGaugeVec,
    source_age: IntGaugeVec,
    log_dropped: IntCounterVec,
}

impl Metrics {
    /// A registry of its own, so that several gateways live in one process.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name, help, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let gauge = |name, help, labels: &[&str]| {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok::<_, prometheus::Error>(vec)
        };
        let durations = durations()?;
        registry.register(Box::new(durations.clone()))?;
        let request_labels = ["route", "rule", "cluster", "method", "code", "flags"];
        Ok(Self {
            requests: counter(REQUESTS, "Requests answered", &request_labels)?,
            durations,
            connections: gauge(CONNECTIONS, "Open connections", &["kind"])?,
            connections_opened: counter(CONNECTIONS_OPENED, "Connections accepted", &["kind"])?,
            connect_failures: counter(
                CONNECT_FAILURES,
                "Endpoints that could not be reached",
                &["cluster", "reason"],
            )?,
            refused_peers: counter(REFUSED_PEERS, "Peers refused on links", &["link", "reason"])?,
            not_issued: counter(
                NOT_ISSUED,
                "Requests for a certificate that got none",
                &["reason"],
            )?,
            malformed: counter(MALFORMED, "Messages refused before routing", &["reason"])?,
            swaps: counter(SWAPS, "Snapshots published", &["cause"])?,
            swaps_total: Arc::default(),
            link_up: gauge(LINK_UP, "Whether the catalog stream stands", &["link"])?,
            link_age: gauge(LINK_AGE, "Age of what a remote cluster told us", &["link"])?,
            certificate_expiry: gauge(EXPIRY, "When a certificate ends", &["kind", "name"])?,
            source_age: gauge(SOURCE_AGE, "Age of what the source told us", &["source"])?,
            log_dropped: counter(LOG_DROPPED, "Log lines dropped for a slow reader", &[])?,
            registry,
        })
    }

    /// Counts an answered request.
    pub fn request(&self, labels: &RequestLabels<'_>, took: Duration) {
        let code = labels.status.to_string();
        let RequestLabels { route, rule, cluster, method, flags, .. } = *labels;
        self.requests
            .with_label_values(&[route, rule, cluster, known_method(method), &code, flags])
            .inc();
        self.durations
            .with_label_values(&[route, cluster, code_class(labels.status)])
            .observe(took.as_secs_f64());
    }

    /// Counts an open connection until the guard is dropped.
    pub fn connection(&self, kind: ConnectionKind) -> OpenConnection {
        self.connections_opened.with_label_values(&[kind.label()]).inc();
        let open = self.connections.with_label_values(&[kind.label()]);
        open.inc();
        OpenConnection(open)
    }

    /// Counts an endpoint that could not be reached.
    pub fn connect_failure(&self, cluster: &str, reason: &str) {
        self.connect_failures.with_label_values(&[cluster, reason]).inc();
    }

    /// Counts a peer that was refused.
    pub fn refused_peer(&self, link: &str, reason: &str) {
        self.refused_peers.with_label_values(&[link, reason]).inc();
    }

    /// Counts a request for a certificate that got none.
    pub fn not_issued(&self, reason: &str) {
        self.not_issued.with_label_values(&[reason]).inc();
    }

    /// Counts a message that was refused before routing.
    pub fn malformed(&self, reason: &str) {
        self.malformed.with_label_values(&[reason]).inc();
    }

    /// Counts a published snapshot.
    pub fn swap(&self, cause: &str) {
        self.swaps_total.fetch_add(1, Ordering::Relaxed);
        self.swaps.with_label_values(&[cause]).inc();
    }

    /// Snapshots published since the start.
    pub fn swaps(&self) -> u64 {
        self.swaps_total.load(Ordering::Relaxed)
    }

    /// Says how a link is.
    pub fn link(&self, link: &str, up: bool, age: Duration) {
        self.link_up.with_label_values(&[link]).set(i64::from(up));
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.link_age.with_label_values(&[link]).set(age);
    }

    /// Peers of a link that were refused since the start, by reason.
    pub fn refused_peers(&self, link: &str) -> BTreeMap<String, u64> {
        let families = self.refused_peers.collect();
        let counted = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let of_link = counted.filter_map(|metric| {
            let label = |name: &str| {
                let labels = metric.get_label().iter();
                labels
                    .filter(|label| label.name() == name)
                    .map(prometheus::proto::LabelPair::value)
                    .next()
            };
            let reason = label("reason").filter(|_| label("link") == Some(link))?;
            let count: u64 = self.refused_peers.with_label_values(&[link, reason]).get();
            Some((reason.to_owned(), count))
        });
        of_link.collect()
    }

    /// Forgets what was said of links, certificates and the source, so that those that are gone
    /// are not shown for ever.
    pub fn forget_states(&self) {
        self.link_up.reset();
        self.link_age.reset();
        self.certificate_expiry.reset();
        self.source_age.reset();
    }

    /// Says when a certificate ends, in seconds since 1970.
    pub fn certificate_expiry(&self, kind: &str, name: &str, at: i64) {
        self.certificate_expiry.with_label_values(&[kind, name]).set(at);
    }

    /// Says how old the source's state is.
    pub fn source_age(&self, source: &str, age: Duration) {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.source_age.with_label_values(&[source]).set(age);
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self, log_dropped: u64) -> Result<String, prometheus::Error> {
        let dropped = self.log_dropped.with_label_values::<&str>(&[]);
        dropped.inc_by(log_dropped.saturating_sub(dropped.get()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// From the first byte of a request to the last of its answer.
fn durations() -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(DURATION, "Time from a request to the end of its answer");
    let labels = ["route", "cluster", "code_class"];
    HistogramVec::new(options.buckets(DURATION_BUCKETS.to_vec()), &labels)
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug)]
pub struct RequestLabels<'a> {
    /// The route's name, or `none`.
    pub route: &'a str,
    /// The rule's name or place.
    pub rule: &'a str,
    /// The remote cluster, or `local`.
    pub cluster: &'a str,
    /// The method; unknown ones are counted together.
    pub method: &'a str,
    /// What the client got; 0 for none.
    pub status: u16,
    /// What went wrong.
    pub flags: &'a str,
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub struct OpenConnection(prometheus::IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Methods are the client's to choose, so unknown ones share a label (OpenTelemetry's `_OTHER`).
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" | "CONNECT" => {
            method
        }
        _ => "_OTHER",
    }
}

const fn code_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "none",
    }
}

#[cfg(test)]
mod tests;
