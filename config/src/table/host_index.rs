//! Finds the most specific host name: exact before wildcard, longer wildcard before shorter.

use std::sync::Arc;

use crate::model::HashMap;

/// Values by host name. `*.example.com` covers any number of labels (Gateway API), `*` all.
#[derive(Clone, Debug)]
pub struct HostIndex<T> {
    exact: HashMap<Arc<[u8]>, Arc<T>>,
    /// By what follows the `*`, such as `.example.com`.
    wildcard: HashMap<Arc<[u8]>, Arc<T>>,
    /// How long what follows a `*` may be: most ends of a host name are looked up nowhere.
    lengths: Lengths,
    /// What stands under `*` alone.
    all: Option<Arc<T>>,
}

/// Lengths that occur or once did, modulo 64.
#[derive(Clone, Copy, Debug, Default)]
struct Lengths(u64);

impl Lengths {
    const fn add(&mut self, length: usize) {
        self.0 |= 1 << (length % 64);
    }

    const fn are_none(self) -> bool {
        self.0 == 0
    }

    /// False: certainly not.
    const fn may_have(self, length: usize) -> bool {
        self.0 & (1 << (length % 64)) != 0
    }
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        let (exact, wildcard) = (HashMap::new(), HashMap::new());
        Self { exact, wildcard, lengths: Lengths::default(), all: None }
    }
}

impl<T> HostIndex<T> {
    /// Puts `value` under `pattern` (lower case, `*` for all), in place of what was there.
    pub fn insert(&mut self, pattern: &str, value: Arc<T>) {
        match pattern.strip_prefix('*') {
            Some("") => self.all = Some(value),
            Some(suffix) => {
                self.lengths.add(suffix.len());
                self.wildcard.insert(suffix.as_bytes().into(), value);
            }
            None => {
                self.exact.insert(pattern.as_bytes().into(), value);
            }
        }
    }

    /// Takes away what stands under exactly this pattern.
    pub fn remove(&mut self, pattern: &str) {
        match pattern.strip_prefix('*') {
            Some("") => self.all.take(),
            Some(suffix) => self.wildcard.remove(suffix.as_bytes()),
            None => self.exact.remove(pattern.as_bytes()),
        };
    }

    /// What stands under exactly this pattern, to be changed in its place.
    pub fn get_mut(&mut self, pattern: &str) -> Option<&mut Arc<T>> {
        match pattern.strip_prefix('*') {
            Some("") => self.all.as_mut(),
            Some(suffix) => self.wildcard.get_mut(suffix.as_bytes()),
            None => self.exact.get_mut(pattern.as_bytes()),
        }
    }

    /// What stands under exactly this pattern.
    pub fn get(&self, pattern: &str) -> Option<&Arc<T>> {
        match pattern.strip_prefix('*') {
            Some("") => self.all.as_ref(),
            Some(suffix) => self.wildcard.get(suffix.as_bytes()),
            None => self.exact.get(pattern.as_bytes()),
        }
    }

    /// The value of the most specific pattern that covers `host` (lower case, without port).
    pub fn find(&self, host: &[u8]) -> Option<&Arc<T>> {
        self.covering(host).next()
    }

    /// The values of all patterns that cover `host`, the most specific first.
    pub fn covering<'t, 'h>(
        &'t self,
        host: &'h [u8],
    ) -> impl Iterator<Item = &'t Arc<T>> + use<'t, 'h, T> {
        // Where there is no wildcard but `*`, no end of the host need be looked for.
        let ended = if self.lengths.are_none() { &[] } else { host };
        let known = suffixes(ended).filter(|suffix| self.lengths.may_have(suffix.len()));
        let wildcards = known.filter_map(move |suffix| self.wildcard.get(suffix));
        // To hash a host in order to look for it among none is not free either.
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        exact.into_iter().chain(wildcards).chain(&self.all)
    }

    /// All patterns with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<T>)> {
        let exact = self.exact.iter().map(|(host, value)| (text(host), value));
        let wildcard =
            self.wildcard.iter().map(|(suffix, value)| (format!("*{}", text(suffix)), value));
        exact.chain(wildcard).chain(self.all.iter().map(|value| ("*".to_owned(), value)))
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.all.is_none()
    }
}

/// What may follow the `*` of a wildcard that covers `host`, the longest first.
fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    // A wildcard stands for at least one label, so the first dot that counts is behind the
    // first character.
    let dots = host.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
    dots.filter_map(|(at, _)| host.get(at..))
}

/// A pattern, as it was put in.
fn text(pattern: &[u8]) -> String {
    String::from_utf8_lossy(pattern).into_owned()
}

/// Whether `pattern` (a host name, `*.suffix` or `*`) covers `host`; both are lower case.
pub fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == host,
        Some("") => true,
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
    }
}

/// Whether there is a host that both patterns cover.
pub fn intersect(one: &str, other: &str) -> bool {
    match (one.strip_prefix('*'), other.strip_prefix('*')) {
        (None, None) => one == other,
        (Some(_), None) => covers(one, other),
        (None, Some(_)) => covers(other, one),
        (Some(one), Some(other)) => one.ends_with(other) || other.ends_with(one),
    }
}

/// Orders patterns, the most specific first: exact names, then wildcards by length.
pub(crate) fn specificity(pattern: &str) -> (bool, std::cmp::Reverse<usize>) {
    (pattern.starts_with('*'), std::cmp::Reverse(pattern.len()))
}
