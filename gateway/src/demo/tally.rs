//! Counts what the load has seen.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use super::load::Stream;
use super::service::Speaks;
use crate::lock::lock;

/// Histogram buckets: each a tenth wider than the one before, from 10 µs; 160 reach 38 seconds.
const BUCKETS: usize = 160;
/// Different failures that are kept in words.
const PROBLEMS_MAX: usize = 20;

/// Counts of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    home: &'static str,
    requests: AtomicU64,
    failures: AtomicU64,
    cross: AtomicU64,
    with_body: AtomicU64,
    http1: AtomicU64,
    http2: AtomicU64,
    grpc: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
    problems: Mutex<BTreeMap<String, u64>>,
}

/// The counts of one moment; each is a field of the JSON line.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) cross_cluster_requests: u64,
    pub(crate) requests_with_body: u64,
    pub(crate) http1_requests: u64,
    pub(crate) http2_requests: u64,
    pub(crate) grpc_requests: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Tally {
    /// Counts requests sent in `home`; answers from elsewhere have crossed.
    pub(crate) fn new(home: &'static str) -> Self {
        Self {
            home,
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            cross: AtomicU64::new(0),
            with_body: AtomicU64::new(0),
            http1: AtomicU64::new(0),
            http2: AtomicU64::new(0),
            grpc: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            problems: Mutex::default(),
        }
    }

    /// Counts a right answer.
    pub(crate) fn passed(&self, stream: &Stream, cluster: &str, took: Duration) {
        self.requests.fetch_add(1, Relaxed);
        if cluster != self.home {
            self.cross.fetch_add(1, Relaxed);
        }
        if stream.body > 0 {
            self.with_body.fetch_add(1, Relaxed);
        }
        let version = match stream.speaks {
            Speaks::Http1 => &self.http1,
            Speaks::Http2 => &self.http2,
            Speaks::Grpc => &self.grpc,
        };
        version.fetch_add(1, Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(took)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Counts a wrong answer, or none.
    pub(crate) fn failed(&self, path: &str, problem: &str) {
        self.requests.fetch_add(1, Relaxed);
        self.failures.fetch_add(1, Relaxed);
        let mut problems = lock(&self.problems);
        if problems.len() < PROBLEMS_MAX || problems.contains_key(problem) {
            *problems.entry(format!("{path}: {problem}")).or_default() += 1;
        }
    }

    /// What went wrong, in words, with counts.
    pub(crate) fn problems(&self) -> BTreeMap<String, u64> {
        lock(&self.problems).clone()
    }

    /// The counts of now.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            cross_cluster_requests: self.cross.load(Relaxed),
            requests_with_body: self.with_body.load(Relaxed),
            http1_requests: self.http1.load(Relaxed),
            http2_requests: self.http2.load(Relaxed),
            grpc_requests: self.grpc.load(Relaxed),
            p50_ms: self.percentile(50),
            p99_ms: self.percentile(99),
        }
    }

    fn percentile(&self, percent: u64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut seen = 0;
        for (at, count) in counts.into_iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_ms(at);
            }
        }
        0.0
    }
}

/// The upper edge of a bucket in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "a small index")]
fn upper_ms(bucket: usize) -> f64 {
    (0.01 * 1.1_f64.powf(bucket as f64) * 1000.0).round() / 1000.0
}

fn bucket_of(took: Duration) -> usize {
    let ms = took.as_secs_f64() * 1000.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and bounded just behind"
    )]
    let bucket = ((ms / 0.01).max(1.0).ln() / 1.1_f64.ln()).ceil() as usize;
    bucket.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Tally, bucket_of, upper_ms};

    #[test]
    fn a_bucket_ends_at_most_a_tenth_above_its_values() {
        for micros in [10, 37, 950, 20_000, 4_000_000] {
            let took = Duration::from_micros(micros);
            let ms = took.as_secs_f64() * 1000.0;
            let upper = upper_ms(bucket_of(took));
            assert!(upper >= ms * 0.99 && upper <= ms * 1.11, "{micros} µs: {upper}");
        }
    }

    #[test]
    fn failures_are_requests_too() {
        let tally = Tally::new("east");
        tally.failed("/", "reset");
        assert_eq!((tally.counts().requests, tally.counts().failures), (1, 1));
    }
}
