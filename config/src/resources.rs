//! What was read from the source, object by object: what `compile` sees.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::model::{Kind, Name};

/// The objects of one kind. An object that cannot be read is known by its name and the reason.
#[derive(Clone, Debug)]
pub struct Objects<T> {
    /// Those that could be read.
    pub valid: OrdMap<Name, Arc<T>>,
    /// Those that could not, and why: each costs only itself.
    pub broken: OrdMap<Name, Arc<Broken>>,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { valid: OrdMap::new(), broken: OrdMap::new() }
    }
}

/// Why an object could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its UID where that much could be read.
    pub uid: Option<Arc<str>>,
    /// Its generation, for `observedGeneration`.
    pub generation: Option<i64>,
    /// The field, as a path such as `spec.rules[0].matches[1].path.type`.
    pub field: String,
    /// What is wrong with it, a sentence.
    pub message: String,
}

/// The highest object version seen of each watched kind, deletions included.
pub type Versions = OrdMap<Kind, u64>;

/// The slices of one Service, by name.
pub type ServiceSlices = OrdMap<Arc<str>, Arc<EndpointSlice>>;

/// `EndpointSlice`s by the Service that they belong to, then by their own name.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// Service → slice → object.
    pub by_service: HashMap<Name, ServiceSlices>,
    /// The highest version seen, deletions included.
    pub version: u64,
}
