//! Names of workloads and of those who vouch for them, as the SPIFFE-ID standard defines them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use super::Name;

#[cfg(test)]
mod tests;

/// The longest trust domain name that the SPIFFE-ID standard asks implementations to support.
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// The longest SPIFFE ID that the standard allows, scheme included.
pub const MAX_ID_BYTES: usize = 2048;

const SCHEME: &str = "spiffe://";

/// A name for a root of trust, such as `east.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

/// The name of a workload within a trust domain: `spiffe://<trust domain><path>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the path begins in `text`; its length if there is none.
    path_at: usize,
}

/// Why a text is no trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum InvalidTrustDomain {
    /// There is no text.
    #[error("the trust domain is empty")]
    Empty,
    /// It is longer than [`MAX_TRUST_DOMAIN_BYTES`].
    #[error("the trust domain has {0} bytes, more than {MAX_TRUST_DOMAIN_BYTES}")]
    TooLong(usize),
    /// Only lower-case letters, digits, dot, dash and underscore may stand in it.
    #[error("the trust domain {0:?} has {1:?} in it")]
    Character(String, char),
}

/// Why a text is no SPIFFE ID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum InvalidSpiffeId {
    /// It does not begin with `spiffe://`.
    #[error("{0:?} does not begin with \"spiffe://\"")]
    Scheme(String),
    /// It is longer than [`MAX_ID_BYTES`].
    #[error("the SPIFFE ID has {0} bytes, more than {MAX_ID_BYTES}")]
    TooLong(usize),
    /// Its trust domain is none.
    #[error(transparent)]
    TrustDomain(#[from] InvalidTrustDomain),
    /// A segment of its path is empty, which a trailing slash makes too.
    #[error("the path of {0:?} has an empty segment")]
    EmptySegment(String),
    /// A segment of its path is `.` or `..`.
    #[error("the path of {0:?} has a segment of dots")]
    DotSegment(String),
    /// Only letters, digits, dot, dash and underscore may stand in a segment.
    #[error("the path of {0:?} has {1:?} in it")]
    Character(String, char),
}

// === impl TrustDomain ===

impl TrustDomain {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID that stands for the trust domain as a whole, and for its authority.
    pub fn id(&self) -> SpiffeId {
        let text: Arc<str> = format!("{SCHEME}{}", self.0).into();
        SpiffeId { path_at: text.len(), text }
    }
}

impl FromStr for TrustDomain {
    type Err = InvalidTrustDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidTrustDomain::Empty);
        }
        if text.len() > MAX_TRUST_DOMAIN_BYTES {
            return Err(InvalidTrustDomain::TooLong(text.len()));
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        match text.chars().find(|c| !allowed(*c)) {
            Some(c) => Err(InvalidTrustDomain::Character(text.to_owned(), c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl SpiffeId ===

impl SpiffeId {
    /// The name of a `ServiceAccount`'s pods: `spiffe://<trust domain>/ns/<namespace>/sa/<name>`.
    pub fn of(trust_domain: &TrustDomain, account: &Name) -> Result<Self, InvalidSpiffeId> {
        format!("{SCHEME}{trust_domain}/ns/{}/sa/{}", account.namespace, account.name).parse()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain that vouches for it.
    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain(self.trust_domain_str().into())
    }

    /// The trust domain's name, without an allocation.
    pub fn trust_domain_str(&self) -> &str {
        self.text.get(SCHEME.len()..self.path_at).unwrap_or_default()
    }

    /// The path with its leading slash; empty for the trust domain itself.
    pub fn path(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }

    /// Whether this names a trust domain, not a workload.
    pub fn is_root(&self) -> bool {
        self.path().is_empty()
    }

    /// The `ServiceAccount` that it names, if it has that form.
    pub fn service_account(&self) -> Option<Name> {
        let mut segments = self.path().strip_prefix('/')?.split('/');
        match [(); 5].map(|()| segments.next()) {
            [Some("ns"), Some(namespace), Some("sa"), Some(name), None] => {
                Some(Name::new(namespace, name))
            }
            _ => None,
        }
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // First, so that no error quotes an endless input.
        if text.len() > MAX_ID_BYTES {
            return Err(InvalidSpiffeId::TooLong(text.len()));
        }
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| InvalidSpiffeId::Scheme(text.to_owned()))?;
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let trust_domain = TrustDomain::from_str(trust_domain)?;
        check_path(text, path)?;
        Ok(Self { text: text.into(), path_at: SCHEME.len() + trust_domain.as_str().len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_path(text: &str, path: &str) -> Result<(), InvalidSpiffeId> {
    let Some(path) = path.strip_prefix('/') else { return Ok(()) };
    for segment in path.split('/') {
        match segment {
            "" => return Err(InvalidSpiffeId::EmptySegment(text.to_owned())),
            "." | ".." => return Err(InvalidSpiffeId::DotSegment(text.to_owned())),
            _ => {}
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if let Some(c) = segment.chars().find(|c| !allowed(*c)) {
            return Err(InvalidSpiffeId::Character(text.to_owned(), c));
        }
    }
    Ok(())
}
