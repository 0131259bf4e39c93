//! Requests as one worker counts them: workers write nothing in common, a scrape adds up.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::model::BackendKey;
use config::table::RuleId;
use hashbrown::{Equivalent, HashMap};
use prometheus::proto;

use crate::lock::lock;

#[cfg(test)]
mod tests;

/// Buckets of OpenTelemetry's `http.server.request.duration`, with two below for a proxy's own time.
const DURATION_BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Sets of labels that one worker counts apart: far above what its objects can make, except of
/// an endpoint that answers with every status there is. What comes beyond is counted as nobody's.
const CELLS_MAX: usize = 50_000;
/// Stands for a route where none was found.
const NO_ROUTE: &str = "none";

const REQUESTS: &str = "spanway_requests_total";
const DURATION: &str = "spanway_request_duration_seconds";

/// Who answered a request, or should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answerer<'a> {
    /// A rule of a route.
    Rule(&'a RuleId),
    /// A mirrored port without rules.
    Service(&'a BackendKey),
    /// No rule took the request.
    Nobody,
}

/// What a request is counted under.
#[derive(Clone, Copy, Debug)]
pub struct RequestLabels<'a> {
    /// Who answered.
    pub answerer: Answerer<'a>,
    /// The remote cluster, or `local`.
    pub cluster: &'a str,
    /// The method; unknown ones are counted together.
    pub method: &'static str,
    /// What the client got; 0 for none.
    pub status: u16,
    /// What went wrong.
    pub flags: &'static str,
}

/// Methods are the client's to choose, so unknown ones share a label (OpenTelemetry's `_OTHER`).
pub(crate) fn known_method(method: &[u8]) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| known.as_bytes() == method).unwrap_or("_OTHER")
}

/// What one worker has counted. The lock is taken by its thread, and seldom by a scrape.
///
/// On lines of memory of its own, as for [`crate::worker::Alone`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Tally(Mutex<HashMap<Key, Cell, ahash::RandomState>>);

/// The same as [`RequestLabels`], to keep. Both have one hash.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    answerer: OwnedAnswerer,
    cluster: Box<str>,
    method: &'static str,
    status: u16,
    flags: &'static str,
}

#[derive(Debug, PartialEq, Eq)]
enum OwnedAnswerer {
    Rule(RuleId),
    Service(BackendKey),
    Nobody,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    count: u64,
    seconds: f64,
    /// Requests that took longer than the bucket before and no longer than this one; the last
    /// ones took longer than all.
    buckets: [u64; DURATION_BUCKETS.len() + 1],
}

impl Tally {
    /// Counts a request.
    pub fn count(&self, labels: &RequestLabels<'_>, took: Duration) {
        let mut cells = lock(&self.0);
        if let Some(cell) = cells.get_mut(labels) {
            return cell.add(took);
        }
        let labels = if cells.len() < CELLS_MAX {
            *labels
        } else {
            RequestLabels { answerer: Answerer::Nobody, cluster: "", status: 0, ..*labels }
        };
        cells.entry(Key::of(&labels)).or_default().add(took);
    }
}

impl Cell {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        let bucket = DURATION_BUCKETS.partition_point(|limit| *limit < seconds);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.seconds += other.seconds;
        for (own, more) in self.buckets.iter_mut().zip(other.buckets) {
            *own += more;
        }
    }
}

// === impl Answerer ===

impl fmt::Display for Answerer<'_> {
    /// The route, or the Service that no route rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.route.fmt(f),
            Self::Service(key) => key.fmt(f),
            Self::Nobody => f.write_str(NO_ROUTE),
        }
    }
}

impl<'a> Answerer<'a> {
    /// The rule's name, or its place in the route.
    pub fn rule(self) -> Cow<'a, str> {
        match self {
            Self::Rule(RuleId { name: Some(name), .. }) => Cow::Borrowed(name),
            Self::Rule(rule) => rule.index.to_string().into(),
            Self::Service(_) | Self::Nobody => Cow::Borrowed(""),
        }
    }
}

impl Hash for Answerer<'_> {
    /// By what tells most of them apart: the names of routes and Services, and places in a route.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Rule(RuleId { route, index, .. }) => {
                route.name.name.hash(state);
                state.write_usize(*index);
            }
            Self::Service(key) => key.port().service.name.hash(state),
            Self::Nobody => {}
        }
    }
}

// === impl Key ===

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.answerer(), self.status).hash(state);
    }
}

impl Hash for RequestLabels<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.answerer, self.status).hash(state);
    }
}

impl Key {
    fn of(labels: &RequestLabels<'_>) -> Self {
        let answerer = match labels.answerer {
            Answerer::Rule(rule) => OwnedAnswerer::Rule(rule.clone()),
            Answerer::Service(key) => OwnedAnswerer::Service(key.clone()),
            Answerer::Nobody => OwnedAnswerer::Nobody,
        };
        let RequestLabels { cluster, method, status, flags, .. } = *labels;
        Self { answerer, cluster: cluster.into(), method, status, flags }
    }

    const fn answerer(&self) -> Answerer<'_> {
        match &self.answerer {
            OwnedAnswerer::Rule(rule) => Answerer::Rule(rule),
            OwnedAnswerer::Service(key) => Answerer::Service(key),
            OwnedAnswerer::Nobody => Answerer::Nobody,
        }
    }
}

impl Equivalent<Key> for RequestLabels<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.status == key.status
            && same(self.method, key.method)
            && same(self.flags, key.flags)
            && self.cluster == &*key.cluster
            && self.answerer == key.answerer()
    }
}

/// Whether two names are the same: mostly it is one name, and nobody has to look at its letters.
fn same(one: &'static str, other: &'static str) -> bool {
    std::ptr::eq(one, other) || one == other
}

// === The scrape ===

/// The metrics of requests, added up over all workers.
pub(super) fn families(tallies: &[Arc<Tally>]) -> Vec<proto::MetricFamily> {
    let mut requests: BTreeMap<[String; 6], u64> = BTreeMap::new();
    let mut durations: BTreeMap<[String; 3], Cell> = BTreeMap::new();
    for tally in tallies {
        let cells = lock(&tally.0);
        for (key, cell) in cells.iter() {
            let (route, rule) = (key.answerer().to_string(), key.answerer().rule().into_owned());
            let (cluster, class) = (key.cluster.to_string(), code_class(key.status).to_owned());
            durations.entry([route.clone(), cluster.clone(), class]).or_default().join(cell);
            let (method, flags) = (key.method.to_owned(), key.flags.to_owned());
            let code = key.status.to_string();
            *requests.entry([route, rule, cluster, method, code, flags]).or_default() += cell.count;
        }
    }
    let names = ["route", "rule", "cluster", "method", "code", "flags"];
    let counters = requests.iter().map(|(values, count)| {
        let mut counter = proto::Counter::default();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus counts in floats")]
        counter.set_value(*count as f64);
        let mut metric = labelled(&names, values);
        metric.set_counter(counter);
        metric
    });
    let histograms = durations.iter().map(|(values, cell)| {
        let mut metric = labelled(&["route", "cluster", "code_class"], values);
        metric.set_histogram(histogram(cell));
        metric
    });
    let help = "Time from a request to the end of its answer";
    let families = [
        family(REQUESTS, "Requests answered", proto::MetricType::COUNTER, counters.collect()),
        family(DURATION, help, proto::MetricType::HISTOGRAM, histograms.collect()),
    ];
    // A family without a metric cannot be written.
    families.into_iter().filter(|family| !family.get_metric().is_empty()).collect()
}

fn family(
    name: &str,
    help: &str,
    kind: proto::MetricType,
    metrics: Vec<proto::Metric>,
) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(names: &[&str], values: &[String]) -> proto::Metric {
    let pairs = names.iter().zip(values).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    let mut metric = proto::Metric::default();
    metric.set_label(pairs.collect());
    metric
}

fn histogram(cell: &Cell) -> proto::Histogram {
    let mut so_far = 0;
    let buckets = DURATION_BUCKETS.iter().zip(cell.buckets).map(|(limit, count)| {
        so_far += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*limit);
        bucket.set_cumulative_count(so_far);
        bucket
    });
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(cell.count);
    histogram.set_sample_sum(cell.seconds);
    histogram
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
