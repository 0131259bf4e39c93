//! Finds the rule for a path: exact before regular expression, before the longest prefix.

use std::cmp::Reverse;
use std::sync::Arc;

use imbl::Vector;

use super::{Match, PathMatch, Request, Rule};
use crate::model::{HashMap, Name};

/// What decides between two matches of the same host and path (Gateway API, `HTTPRouteRule`).
/// The smaller one takes the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    without_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    age: Age,
    rule: usize,
    entry: usize,
}

/// Who was first: the older route, then the lesser name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    /// When the route was made, in seconds since 1970; a route without that is the youngest.
    pub created: i64,
    /// The route.
    pub route: Name,
}

impl Rank {
    /// The rank of the match `entry` in the rule `rule` of a route.
    pub fn new(age: Age, rule: usize, entry: usize, matched: &Match) -> Self {
        Self {
            without_method: matched.method.is_none(),
            headers: Reverse(matched.headers.len()),
            query: Reverse(matched.query.len()),
            age,
            rule,
            entry,
        }
    }
}

/// A match, and the rule that it leads to.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) matched: Arc<Match>,
    pub(crate) rule: Arc<Rule>,
}

/// Candidates in the order of their rank; few per path, so that a copy is cheap.
type Candidates = Arc<[Candidate]>;

/// The candidates of one host, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct PathIndex {
    exact: HashMap<Arc<str>, Candidates>,
    /// Longer expressions first: which of two is more specific nobody can say.
    regex: Vector<Candidate>,
    prefix: HashMap<Arc<str>, Candidates>,
}

impl PathIndex {
    pub(crate) fn insert(&mut self, new: Candidate) {
        match &new.matched.path {
            PathMatch::Exact(path) => insert(&mut self.exact, &Arc::clone(path), new),
            PathMatch::Prefix(path) => insert(&mut self.prefix, &Arc::clone(path), new),
            PathMatch::Regex(_) => {
                let at = self.regex.iter().position(|old| regex_rank(&new) < regex_rank(old));
                self.regex.insert(at.unwrap_or(self.regex.len()), new);
            }
        }
    }

    /// The rule that takes `request`.
    pub(crate) fn find<R: Request>(&self, request: &R) -> Option<&Arc<Rule>> {
        let path = request.path();
        if let Some(rule) = self.exact.get(path).and_then(|found| first(found.iter(), request)) {
            return Some(rule);
        }
        let expressions =
            self.regex.iter().filter(|candidate| candidate.matched.path.is_match(path));
        if let Some(rule) = first(expressions, request) {
            return Some(rule);
        }
        if self.prefix.is_empty() {
            return None;
        }
        prefixes(path).find_map(|prefix| first(self.prefix.get(prefix)?.iter(), request))
    }

    /// All candidates in the order in which they are tried.
    pub(crate) fn in_order(&self) -> Vec<&Candidate> {
        let mut exact: Vec<_> = self.exact.iter().collect();
        exact.sort_by_key(|(path, _)| Arc::clone(path));
        let mut prefix: Vec<_> = self.prefix.iter().collect();
        prefix.sort_by_key(|(path, _)| (Reverse(path.len()), Arc::clone(path)));
        let exact = exact.into_iter().flat_map(|(_, found)| found.iter());
        let prefix = prefix.into_iter().flat_map(|(_, found)| found.iter());
        exact.chain(self.regex.iter()).chain(prefix).collect()
    }
}

fn first<'a, R: Request>(
    mut candidates: impl Iterator<Item = &'a Candidate>,
    request: &R,
) -> Option<&'a Arc<Rule>> {
    let found = candidates.find(|one| one.matched.mismatch_beyond_path(request).is_none());
    found.map(|candidate| &candidate.rule)
}

fn insert(map: &mut HashMap<Arc<str>, Candidates>, path: &Arc<str>, new: Candidate) {
    let mut all = map.get(path).map(|old| old.to_vec()).unwrap_or_default();
    let at = all.partition_point(|old| old.rank <= new.rank);
    all.insert(at, new);
    map.insert(Arc::clone(path), all.into());
}

fn regex_rank(candidate: &Candidate) -> (Reverse<usize>, &Rank) {
    let length = match &candidate.matched.path {
        PathMatch::Regex(pattern) => pattern.source().len(),
        PathMatch::Exact(_) | PathMatch::Prefix(_) => 0,
    };
    (Reverse(length), &candidate.rank)
}

/// The prefixes of `path` that end before a slash or at its end, the longest first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.rfind('/').and_then(|slash| current.get(..slash));
        Some(current)
    })
}
