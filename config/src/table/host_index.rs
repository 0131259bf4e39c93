//! Finds the most specific host name: exact before wildcard, longer wildcard before shorter.

use std::sync::Arc;

use imbl::HashMap;

/// Values by host name. `*.example.com` covers any number of labels (Gateway API), `*` all.
#[derive(Clone, Debug)]
pub struct HostIndex<T> {
    exact: HashMap<Arc<str>, Arc<T>>,
    /// By what follows the `*`, such as `.example.com`; `*` alone under the empty name.
    wildcard: HashMap<Arc<str>, Arc<T>>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new() }
    }
}

impl<T> HostIndex<T> {
    /// Puts `value` under `pattern` (lower case, `*` for all), in place of what was there.
    pub fn insert(&mut self, pattern: &str, value: Arc<T>) {
        match pattern.strip_prefix('*') {
            Some(suffix) => self.wildcard.insert(suffix.into(), value),
            None => self.exact.insert(pattern.into(), value),
        };
    }

    /// The value of the most specific pattern that covers `host` (lower case, without port).
    pub fn find(&self, host: &str) -> Option<&Arc<T>> {
        if let Some(found) = self.exact.get(host) {
            return Some(found);
        }
        // A wildcard stands for at least one label, so the search starts behind the first dot.
        let mut rest = host;
        while let Some(dot) = rest.find('.') {
            let suffix = rest.get(dot..).unwrap_or_default();
            if let Some(found) = self.wildcard.get(suffix) {
                return Some(found);
            }
            rest = rest.get(dot + 1..).unwrap_or_default();
        }
        self.wildcard.get("")
    }

    /// All patterns with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Arc<T>)> {
        let exact = self.exact.iter().map(|(host, value)| (host.to_string(), value));
        exact.chain(self.wildcard.iter().map(|(suffix, value)| (format!("*{suffix}"), value)))
    }
}
