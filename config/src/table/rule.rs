//! A rule of a route: matches, filters, weighted backends.

use std::sync::Arc;
use std::time::Duration;

use super::HeaderChange;
use crate::model::{BackendKey, ObjectRef};

/// Which rule of which route, for logs, metrics and `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId {
    /// The route; for calls that no route rules, the Service or import itself.
    pub route: ObjectRef,
    /// The rule's place in it, from 0.
    pub index: usize,
    /// `rules[].name`.
    pub name: Option<Arc<str>>,
}

/// A rule that may take a request.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whose rule this is.
    pub id: RuleId,
    /// What is done to every request, in order.
    pub filters: Arc<[Filter]>,
    /// Where requests go, by weight.
    pub backends: Arc<[Backend]>,
    /// `rules[].timeouts`.
    pub timeouts: Timeouts,
}

/// `rules[].timeouts` (GEP-1742); `None` means the default of the request path,
/// zero that there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// The whole request, retries included.
    pub request: Option<Duration>,
    /// One attempt at a backend.
    pub backend_request: Option<Duration>,
}

/// A backend and its share.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Share among the rule's backends; 0 gets nothing.
    pub weight: u32,
    /// Who is meant.
    pub target: Target,
    /// Filters of this backend alone.
    pub filters: Arc<[Filter]>,
}

impl Backend {
    /// Whose endpoints are meant, if it is valid.
    pub const fn key(&self) -> Option<&BackendKey> {
        match &self.target {
            Target::Endpoints(key) => Some(key),
            Target::Invalid(_) => None,
        }
    }
}

/// Who a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Endpoints under this key.
    Endpoints(BackendKey),
    /// Nobody: answers 500 with its weight kept; the sentence says why.
    Invalid(Arc<str>),
}

/// What a filter does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `RequestHeaderModifier`.
    RequestHeaders(Arc<HeaderChange>),
    /// `ResponseHeaderModifier`.
    ResponseHeaders(Arc<HeaderChange>),
}
