//! What a rule asks of a request: path, method, fields and query parameters.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

use super::Request;

/// How large a compiled regular expression may be: enough for a list of some hundred words, far
/// from what could hurt the memory of a gateway with thousands of rules.
pub const PATTERN_SIZE_BYTES_MAX: usize = 256 * 1024;

/// A regular expression that must cover the whole text.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    source: Arc<str>,
}

/// A regular expression that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no regular expression that can be used: {message}")]
pub struct InvalidPattern {
    pattern: String,
    message: String,
}

impl Pattern {
    /// Compiles `source`.
    pub fn new(source: &str) -> Result<Self, InvalidPattern> {
        let built = RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(PATTERN_SIZE_BYTES_MAX)
            .dfa_size_limit(PATTERN_SIZE_BYTES_MAX)
            .build();
        match built {
            Ok(regex) => Ok(Self { regex, source: source.into() }),
            Err(error) => {
                let message = error.to_string().replace('\n', " ");
                Err(InvalidPattern { pattern: source.to_owned(), message })
            }
        }
    }

    fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// What a path must be.
#[derive(Clone, Debug, PartialEq)]
pub enum PathMatch {
    /// This, to the byte.
    Exact(Arc<str>),
    /// This or something below it, element by element. Invariant: no slash at the end, so that
    /// `/` is the empty text.
    Prefix(Arc<str>),
    /// Covered by the expression.
    Regex(Pattern),
}

impl PathMatch {
    /// The prefix `path`; its trailing slashes do not count.
    pub fn prefix(path: &str) -> Self {
        Self::Prefix(path.trim_end_matches('/').into())
    }

    /// Whether `path` is covered.
    pub fn is_match(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == path,
            Self::Prefix(prefix) => path
                .strip_prefix(prefix.as_bytes())
                .is_some_and(|rest| matches!(rest, [] | [b'/', ..])),
            Self::Regex(pattern) => pattern.is_match(path),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exactly `{path}`"),
            Self::Prefix(path) if path.is_empty() => f.write_str("below `/`"),
            Self::Prefix(path) => write!(f, "`{path}` or below it"),
            Self::Regex(pattern) => write!(f, "like `{}`", pattern.source),
        }
    }
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueMatch {
    /// This, to the byte.
    Exact(Arc<str>),
    /// Covered by the expression.
    Regex(Pattern),
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(f, "`{value}`"),
            Self::Regex(pattern) => write!(f, "like `{}`", pattern.source),
        }
    }
}

/// A name and what its value must be.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedMatch {
    /// Lower case for a field, as it stands for a query parameter.
    pub name: Arc<str>,
    /// What its value must be.
    pub value: ValueMatch,
}

/// One entry of `rules[].matches`: all of it must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// What the path must be.
    pub path: PathMatch,
    /// What the method must be.
    pub method: Option<Arc<str>>,
    /// What fields must be; each name once.
    pub headers: Vec<NamedMatch>,
    /// What query parameters must be; each name once.
    pub query: Vec<NamedMatch>,
}

impl Default for Match {
    fn default() -> Self {
        Self { path: PathMatch::prefix("/"), method: None, headers: vec![], query: vec![] }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        write!(f, "{}", self.path)?;
        for NamedMatch { name, value } in &self.headers {
            write!(f, ", header `{name}` is {value}")?;
        }
        for NamedMatch { name, value } in &self.query {
            write!(f, ", query parameter `{name}` is {value}")?;
        }
        Ok(())
    }
}

/// The first thing that does not hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mismatch<'a> {
    /// The path.
    Path(&'a PathMatch),
    /// The method.
    Method(&'a str),
    /// A field.
    Header(&'a NamedMatch),
    /// A query parameter.
    Query(&'a NamedMatch),
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "the path is not {path}"),
            Self::Method(method) => write!(f, "the method is not {method}"),
            Self::Header(header) => {
                write!(f, "the header `{}` is not {}", header.name, header.value)
            }
            Self::Query(query) => {
                write!(f, "the query parameter `{}` is not {}", query.name, query.value)
            }
        }
    }
}

impl Match {
    /// What does not hold for `request`, if anything.
    pub fn mismatch<R: Request>(&self, request: &R) -> Option<Mismatch<'_>> {
        if !self.path.is_match(request.path()) {
            return Some(Mismatch::Path(&self.path));
        }
        self.mismatch_beyond_path(request)
    }

    /// As `mismatch`, where the path is known to match.
    pub(crate) fn mismatch_beyond_path<R: Request>(&self, request: &R) -> Option<Mismatch<'_>> {
        if let Some(method) = &self.method
            && &**method != request.method()
        {
            return Some(Mismatch::Method(method));
        }
        if let Some(header) = self.headers.iter().find(|header| !header_matches(header, request)) {
            return Some(Mismatch::Header(header));
        }
        // To look for the query in a target is not free, and few rules ask for any.
        if self.query.is_empty() {
            return None;
        }
        let query = request.query();
        let missed = self.query.iter().find(|parameter| !query_matches(parameter, query));
        missed.map(Mismatch::Query)
    }
}

/// A field that stands several times in a request matches by any of its values, or by all of
/// them joined with commas, which means the same (RFC 9110, 5.3).
fn header_matches<R: Request>(header: &NamedMatch, request: &R) -> bool {
    let values = || request.header(&header.name);
    match &header.value {
        ValueMatch::Exact(wanted) => {
            let wanted = wanted.as_bytes();
            values().any(|value| value == wanted)
                || is_join(values(), b",", wanted)
                || is_join(values(), b", ", wanted)
        }
        ValueMatch::Regex(pattern) => {
            if values().any(|value| pattern.is_match(value)) {
                return true;
            }
            values().nth(1).is_some()
                && pattern.is_match(&values().collect::<Vec<_>>().join(&b", "[..]))
        }
    }
}

/// Whether `wanted` is the `values` joined by `comma`.
fn is_join<'a>(values: impl Iterator<Item = &'a [u8]>, comma: &[u8], wanted: &[u8]) -> bool {
    let mut rest = wanted;
    let mut first = true;
    for value in values {
        let after_comma = if first { Some(rest) } else { rest.strip_prefix(comma) };
        match after_comma.and_then(|rest| rest.strip_prefix(value)) {
            Some(after) => rest = after,
            None => return false,
        }
        first = false;
    }
    !first && rest.is_empty()
}

/// The first value of a parameter that stands several times is the one that counts.
fn query_matches(parameter: &NamedMatch, query: Option<&str>) -> bool {
    let mut pairs =
        query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.find(|(name, _)| decoded(name).eq(parameter.name.bytes())) else {
        return false;
    };
    match &parameter.value {
        ValueMatch::Exact(wanted) => decoded(value).eq(wanted.bytes()),
        ValueMatch::Regex(pattern) if value.contains(['%', '+']) => {
            pattern.is_match(&decoded(value).collect::<Vec<_>>())
        }
        ValueMatch::Regex(pattern) => pattern.is_match(value.as_bytes()),
    }
}

/// The bytes that a part of a query stands for.
fn decoded(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&byte, after) = rest.split_first()?;
        let hex =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', [high, low, ..]) = (byte, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after.get(2..).unwrap_or_default();
            return Some(high << 4 | low);
        }
        rest = after;
        Some(if byte == b'+' { b' ' } else { byte })
    })
}
