//! Which rule takes a request: listener, then route host, then matches in their precedence.

use std::sync::Arc;

use super::host_index::{covers, specificity};
use super::path_index::{Candidate, PathIndex};
use super::{HostIndex, Match, Rank, Request, Rule, RuleId};
use crate::model::ObjectRef;

#[cfg(test)]
mod tests;

/// The rules behind one listener port.
///
/// Listeners are isolated: the one with the most specific host takes the request, and if none of
/// its routes has a rule for it, nobody has. Within a listener, routes compete by their own host
/// names, the most specific first, whatever part of it the listener covers.
#[derive(Clone, Debug, Default)]
pub struct VirtualHosts {
    listeners: HostIndex<Hosts>,
}

/// The rules of one listener, by the route's own host. A copy shares with its source all that does
/// not change.
#[derive(Clone, Debug, Default)]
pub struct Hosts(HostIndex<PathIndex>);

/// Where a rule is found: under which host of which listener.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The listener's host, `*` for all.
    pub listener: &'a str,
    /// The route's own host, `*` where it names none.
    pub host: &'a str,
}

/// What became of a rule when it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It takes the request.
    Matched,
    /// It matches, but another that stands before it takes the request.
    Shadowed,
    /// It does not match; the sentence says why.
    NotMatched(String),
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The rule.
    pub rule: RuleId,
    /// The listener's host, `*` for all.
    pub listener: String,
    /// The route's own host, `*` where it names none.
    pub host: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// A match of a rule, and where it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The listener's host, `*` for all.
    pub listener: String,
    /// The route's own host, `*` where it names none.
    pub host: String,
    /// What the rule asks of a request.
    pub matched: Arc<Match>,
    /// The rule.
    pub rule: Arc<Rule>,
}

impl Hosts {
    /// Adds one match of `rule` under a host, `*` for all.
    pub fn add_rule(&mut self, host: &str, rank: Rank, matched: Arc<Match>, rule: Arc<Rule>) {
        let new = Candidate { rank, matched, rule };
        if let Some(paths) = self.0.get_mut(host) {
            return Arc::make_mut(paths).insert(new);
        }
        let mut paths = PathIndex::default();
        paths.insert(new);
        self.0.insert(host, Arc::new(paths));
    }

    /// Takes away what leads from a host, by the path of a match, to a route.
    pub fn remove_rule(&mut self, host: &str, matched: &Match, route: &ObjectRef) {
        let Some(paths) = self.0.get_mut(host) else { return };
        let paths = Arc::make_mut(paths);
        paths.remove(&matched.path, route);
        if paths.is_empty() {
            self.0.remove(host);
        }
    }
}

impl VirtualHosts {
    /// Adds a listener with its rules: it takes the requests for its host even without any.
    pub fn add_listener(&mut self, host: &str, rules: Hosts) {
        self.listeners.insert(host, Arc::new(rules));
    }

    /// Adds one match of `rule`.
    pub fn add_rule(&mut self, place: Place<'_>, rank: Rank, matched: Arc<Match>, rule: Arc<Rule>) {
        let mut rules = self.listeners.get(place.listener).cloned().unwrap_or_default();
        Arc::make_mut(&mut rules).add_rule(place.host, rank, matched, rule);
        self.listeners.insert(place.listener, rules);
    }

    /// The rule that takes `request`.
    pub fn find<R: Request>(&self, request: &R) -> Option<&Arc<Rule>> {
        let host = request.host();
        self.listeners.find(host)?.0.covering(host).find_map(|paths| paths.find(request))
    }

    /// Whether a listener here is responsible for `host` at all.
    pub fn covers(&self, host: &str) -> bool {
        self.listeners.find(host.as_bytes()).is_some()
    }

    /// All rules, in the order in which they are tried, and what became of each.
    pub fn explain<R: Request>(&self, request: &R) -> Vec<Tried> {
        let asked = String::from_utf8_lossy(request.host());
        let taken = self.listeners.find(request.host());
        let mut tried = Vec::new();
        let mut matched = false;
        for (listener, hosts) in in_order(&self.listeners) {
            let chosen = taken.is_some_and(|taken| Arc::ptr_eq(taken, hosts));
            for (host, paths) in in_order(&hosts.0) {
                for candidate in paths.in_order() {
                    let reason = if chosen {
                        mismatch((&host, &asked), candidate, request)
                    } else {
                        Some(not_chosen(&listener, &asked))
                    };
                    let outcome = match reason {
                        Some(reason) => Outcome::NotMatched(reason),
                        None if matched => Outcome::Shadowed,
                        None => Outcome::Matched,
                    };
                    matched |= outcome == Outcome::Matched;
                    let (listener, host) = (listener.clone(), host.clone());
                    tried.push(Tried { rule: candidate.rule.id.clone(), listener, host, outcome });
                }
            }
        }
        tried
    }

    /// All matches in the order in which they are tried.
    pub fn standing(&self) -> Vec<Standing> {
        let mut all = Vec::new();
        for (listener, hosts) in in_order(&self.listeners) {
            for (host, paths) in in_order(&hosts.0) {
                all.extend(paths.in_order().into_iter().map(|one| Standing {
                    listener: listener.clone(),
                    host: host.clone(),
                    matched: Arc::clone(&one.matched),
                    rule: Arc::clone(&one.rule),
                }));
            }
        }
        all
    }

    /// All rules, each once per match, in the order in which they are tried.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.standing().into_iter().map(|one| one.rule).collect()
    }
}

fn in_order<T>(index: &HostIndex<T>) -> Vec<(String, &Arc<T>)> {
    let mut all: Vec<_> = index.iter().collect();
    all.sort_by(|(one, _), (other, _)| (specificity(one), one).cmp(&(specificity(other), other)));
    all
}

fn mismatch<R: Request>(
    (host, asked): (&str, &str),
    candidate: &Candidate,
    request: &R,
) -> Option<String> {
    if !covers(host, asked) {
        return Some(format!("the host `{asked}` is not covered by `{host}`"));
    }
    candidate.matched.mismatch(request).map(|mismatch| mismatch.to_string())
}

fn not_chosen(listener: &str, host: &str) -> String {
    if covers(listener, host) {
        format!("a listener with a more specific host than `{listener}` takes `{host}`")
    } else {
        format!("the listener's host `{listener}` does not cover `{host}`")
    }
}
