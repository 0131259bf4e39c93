//! What Prometheus scrapes. Labels come from objects, never from what a client sends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::core::Collector as _;
use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::tally::{self, Tally};
use crate::lock::lock;

const CONNECTIONS: &str = "spanway_connections";
const CONNECTIONS_OPENED: &str = "spanway_connections_opened_total";
const CONNECT_FAILURES: &str = "spanway_upstream_connect_failures_total";
const REFUSED_PEERS: &str = "spanway_refused_peers_total";
const NOT_ISSUED: &str = "spanway_certificates_not_issued_total";
const MALFORMED: &str = "spanway_malformed_messages_total";
const SWAPS: &str = "spanway_config_swaps_total";
const LINK_UP: &str = "spanway_link_up";
const CALLS_READY: &str = "spanway_link_calls_ready";
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
    tallies: Arc<Mutex<Vec<Arc<Tally>>>>,
    ingress: Counted,
    mirrored: Counted,
    link: Counted,
    connect_failures: IntCounterVec,
    refused_peers: IntCounterVec,
    not_issued: IntCounterVec,
    malformed: IntCounterVec,
    swaps: IntCounterVec,
    swaps_total: Arc<AtomicU64>,
    link_up: IntGaugeVec,
    link_age: IntGaugeVec,
    calls_ready: IntGaugeVec,
    calls_ready_now: Arc<AtomicUsize>,
    certificate_expiry: IntGaugeVec,
    source_age: IntGaugeVec,
    log_dropped: IntCounterVec,
}

/// Connections of one kind. Found once: a new connection looks for no label.
#[derive(Clone, Debug)]
struct Counted {
    open: IntGauge,
    opened: IntCounter,
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
        let open = gauge(CONNECTIONS, "Open connections", &["kind"])?;
        let opened = counter(CONNECTIONS_OPENED, "Connections accepted", &["kind"])?;
        let of_kind = |kind: ConnectionKind| {
            let kind = [kind.label()];
            Counted { open: open.with_label_values(&kind), opened: opened.with_label_values(&kind) }
        };
        Ok(Self {
            tallies: Arc::default(),
            ingress: of_kind(ConnectionKind::Ingress),
            mirrored: of_kind(ConnectionKind::Mirrored),
            link: of_kind(ConnectionKind::Link),
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
            calls_ready: gauge(CALLS_READY, "Calls over links that wait for a request", &[])?,
            calls_ready_now: Arc::default(),
            certificate_expiry: gauge(EXPIRY, "When a certificate ends", &["kind", "name"])?,
            source_age: gauge(SOURCE_AGE, "Age of what the source told us", &["source"])?,
            log_dropped: counter(LOG_DROPPED, "Log lines dropped for a slow reader", &[])?,
            registry,
        })
    }

    /// Where one worker counts its requests.
    pub fn tally(&self) -> Arc<Tally> {
        let tally = Arc::default();
        lock(&self.tallies).push(Arc::clone(&tally));
        tally
    }

    /// Counts an open connection until the guard is dropped.
    pub fn connection(&self, kind: ConnectionKind) -> OpenConnection {
        let counted = match kind {
            ConnectionKind::Ingress => &self.ingress,
            ConnectionKind::Mirrored => &self.mirrored,
            ConnectionKind::Link => &self.link,
        };
        counted.opened.inc();
        counted.open.inc();
        OpenConnection(counted.open.clone())
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

    /// Where those calls over links are counted that wait for a request.
    pub fn calls_ready(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.calls_ready_now)
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
        let ready = self.calls_ready_now.load(Ordering::Relaxed);
        let ready = i64::try_from(ready).unwrap_or(i64::MAX);
        self.calls_ready.with_label_values::<&str>(&[]).set(ready);
        let mut families = tally::families(&lock(&self.tallies).clone());
        families.extend(self.registry.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// An open connection; closed when dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
