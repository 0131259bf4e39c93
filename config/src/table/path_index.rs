//! Finds the rule for a path: exact before regular expression, before the longest prefix.

use std::cmp::Reverse;
use std::sync::Arc;

use imbl::Vector;

use super::{Match, PathMatch, Request, Rule};
use crate::model::{HashMap, Name, ObjectRef};

/// What decides between two matches of the same host and path (Gateway API, `HTTPRouteRule`).
/// The smaller one takes the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    without_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    age: Arc<Age>,
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
    pub fn new(age: impl Into<Arc<Age>>, rule: usize, entry: usize, matched: &Match) -> Self {
        Self {
            without_method: matched.method.is_none(),
            headers: Reverse(matched.headers.len()),
            query: Reverse(matched.query.len()),
            age: age.into(),
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

/// Up to how many candidates of a host are looked through one by one: comparing a few paths costs
/// less than hashing one, and a list needs a tenth of the memory of two maps. Most hosts have one.
const FEW_MAX: usize = 8;

/// Candidates in the order in which they are tried; few, so that a copy is cheap.
type Candidates = Arc<[Candidate]>;

/// The candidates of one host, by path.
#[derive(Clone, Debug)]
pub(crate) enum PathIndex {
    Few(Candidates),
    Many(Box<Many>),
}

/// More candidates than are looked through one by one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Many {
    exact: HashMap<Arc<[u8]>, Candidates>,
    regex: Vector<Candidate>,
    prefix: HashMap<Arc<[u8]>, Candidates>,
}

impl Default for PathIndex {
    fn default() -> Self {
        Self::Few(Arc::default())
    }
}

impl PathIndex {
    pub(crate) fn insert(&mut self, new: Candidate) {
        match self {
            Self::Few(few) if few.len() < FEW_MAX => *few = with(few, new),
            Self::Few(few) => {
                let mut many = Many::default();
                few.iter().cloned().chain([new]).for_each(|one| many.insert(one));
                *self = Self::Many(Box::new(many));
            }
            Self::Many(many) => many.insert(new),
        }
    }

    /// Takes away what leads to a route by this path.
    pub(crate) fn remove(&mut self, path: &PathMatch, route: &ObjectRef) {
        match self {
            Self::Few(few) => *few = without(few, route),
            Self::Many(many) => many.remove(path, route),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => {
                many.exact.is_empty() && many.regex.is_empty() && many.prefix.is_empty()
            }
        }
    }

    /// The rule that takes `request`.
    pub(crate) fn find<R: Request>(&self, request: &R) -> Option<&Arc<Rule>> {
        match self {
            Self::Few(few) => {
                let path = request.path();
                first(few.iter().filter(|one| one.matched.path.is_match(path)), request)
            }
            Self::Many(many) => many.find(request),
        }
    }

    /// All candidates in the order in which they are tried.
    pub(crate) fn in_order(&self) -> Vec<&Candidate> {
        match self {
            Self::Few(few) => few.iter().collect(),
            Self::Many(many) => {
                let mut all: Vec<_> = many.hashed().chain(&many.regex).collect();
                all.sort_by(|one, other| precedence(one).cmp(&precedence(other)));
                all
            }
        }
    }
}

impl Many {
    fn insert(&mut self, new: Candidate) {
        match &new.matched.path {
            PathMatch::Exact(path) => add(&mut self.exact, Arc::clone(path).into(), new),
            PathMatch::Prefix(path) => add(&mut self.prefix, Arc::clone(path).into(), new),
            PathMatch::Regex(_) => {
                let before = |old: &Candidate| precedence(old) <= precedence(&new);
                let at = self.regex.iter().position(|old| !before(old));
                self.regex.insert(at.unwrap_or(self.regex.len()), new);
            }
        }
    }

    fn remove(&mut self, path: &PathMatch, route: &ObjectRef) {
        let (map, path) = match path {
            PathMatch::Exact(path) => (&mut self.exact, path),
            PathMatch::Prefix(path) => (&mut self.prefix, path),
            PathMatch::Regex(_) => return self.regex.retain(|one| one.rule.id.route != *route),
        };
        match map.get(path.as_bytes()).map(|all| without(all, route)) {
            Some(left) if left.is_empty() => drop(map.remove(path.as_bytes())),
            Some(left) => drop(map.insert(Arc::clone(path).into(), left)),
            None => {}
        }
    }

    fn hashed(&self) -> impl Iterator<Item = &Candidate> {
        self.exact.values().chain(self.prefix.values()).flat_map(|all| all.iter())
    }

    fn find<R: Request>(&self, request: &R) -> Option<&Arc<Rule>> {
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
}

fn first<'a, R: Request>(
    mut candidates: impl Iterator<Item = &'a Candidate>,
    request: &R,
) -> Option<&'a Arc<Rule>> {
    let found = candidates.find(|one| one.matched.mismatch_beyond_path(request).is_none());
    found.map(|candidate| &candidate.rule)
}

fn add(map: &mut HashMap<Arc<[u8]>, Candidates>, path: Arc<[u8]>, new: Candidate) {
    let all = match map.get(&path) {
        Some(all) => with(all, new),
        None => [new].into(),
    };
    map.insert(path, all);
}

fn with(all: &Candidates, new: Candidate) -> Candidates {
    let at = all.partition_point(|old| precedence(old) <= precedence(&new));
    let (before, after) = all.split_at(at);
    before.iter().cloned().chain([new]).chain(after.iter().cloned()).collect()
}

fn without(all: &Candidates, route: &ObjectRef) -> Candidates {
    all.iter().filter(|one| one.rule.id.route != *route).cloned().collect()
}

/// Orders the candidates of a host: exact paths, then expressions, then prefixes; the longer of two
/// expressions first, for which of them is more specific nobody can say, and the longer prefix.
fn precedence(candidate: &Candidate) -> (u8, Reverse<usize>, &str, &Rank) {
    match &candidate.matched.path {
        PathMatch::Exact(path) => (0, Reverse(0), path, &candidate.rank),
        PathMatch::Regex(pattern) => (1, Reverse(pattern.source().len()), "", &candidate.rank),
        PathMatch::Prefix(path) => (2, Reverse(path.len()), path, &candidate.rank),
    }
}

/// The prefixes of `path` that end before a slash or at its end, the longest first.
fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let current = next?;
        let slash = current.iter().rposition(|byte| *byte == b'/');
        next = slash.and_then(|slash| current.get(..slash));
        Some(current)
    })
}
