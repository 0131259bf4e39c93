//! What came of the requests: counts, and a histogram of how long they took.

use std::collections::BTreeMap;

use serde::Serialize;

/// Bits that are kept of a duration: buckets are at most 0.8 % wide.
const PRECISION: u32 = 7;
/// Descriptions of wrong answers that are kept: the first ones explain the rest.
const REASONS_MAX: usize = 5;

/// Counts of one measured time.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Requests that were due.
    pub(crate) offered: u64,
    /// Right answers.
    pub(crate) answered: u64,
    /// Right answers until the last request was due.
    pub(crate) in_time: u64,
    /// Right answers at any time, those before the measured time included.
    pub(crate) ever: u64,
    /// Bytes of large bodies.
    pub(crate) bytes: u64,
    /// Wrong answers, and connections that failed.
    pub(crate) wrong: u64,
    /// The first of these in words.
    pub(crate) reasons: Vec<String>,
    /// Answers by endpoint.
    pub(crate) endpoints: Vec<u64>,
    /// Nanoseconds from when a request was due to its last byte: bucket's end → count.
    pub(crate) took_ns: BTreeMap<u64, u64>,
}

impl Tally {
    /// Notes a right answer.
    pub(crate) fn right(&mut self, nanoseconds: u64, endpoint: usize) {
        self.answered += 1;
        if self.endpoints.len() <= endpoint {
            self.endpoints.resize(endpoint + 1, 0);
        }
        self.endpoints[endpoint] += 1;
        *self.took_ns.entry(bucket_end(nanoseconds)).or_default() += 1;
    }

    /// Notes a wrong answer.
    pub(crate) fn wrong(&mut self, reason: String) {
        self.wrong += 1;
        if self.reasons.len() < REASONS_MAX {
            self.reasons.push(reason);
        }
    }
}

/// The largest value that shares a bucket with this one.
const fn bucket_end(value: u64) -> u64 {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    ((value >> shift) + 1) << shift
}
