//! What `compile` found out about each object: the conditions that it deserves.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::model::{Name, ObjectRef};
use crate::table::PortOwner;

/// A condition that an object deserves, before anybody knows what it holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub type_: &'static str,
    /// Whether it is `True`.
    pub holds: bool,
    /// A reason of the Gateway API.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Condition {
    /// A condition that is `True`.
    pub const fn yes(type_: &'static str, reason: &'static str) -> Self {
        Self { type_, holds: true, reason, message: String::new() }
    }

    /// A condition that is `False`, and why.
    pub fn no(type_: &'static str, rejected: &Rejected) -> Self {
        Self { type_, holds: false, reason: rejected.reason, message: rejected.message.clone() }
    }

    /// `True` for the good reason, or `False` for what was found.
    pub fn of(type_: &'static str, good: &'static str, found: Option<&Rejected>) -> Self {
        found.map_or_else(|| Self::yes(type_, good), |rejected| Self::no(type_, rejected))
    }
}

/// Why something is not accepted: a reason of the Gateway API, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The reason, as it stands in a condition.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Rejected {
    /// A rejection for this reason.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// `parentRefs[]` as it stands in the route, for the status must repeat it exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "each is the field of that name")]
pub struct ParentRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

/// All verdicts. An object that is not ours to judge stands nowhere here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// The classes of ours.
    pub classes: BTreeMap<Name, ClassVerdict>,
    /// The Gateways of our classes.
    pub gateways: OrdMap<Name, Arc<GatewayVerdict>>,
    /// All routes that could be read; one without a parent of ours has no parents here, so that
    /// what we once wrote is taken away.
    pub routes: OrdMap<ObjectRef, Arc<RouteVerdict>>,
}

/// The verdict on a `GatewayClass`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassVerdict {
    /// The generation that was judged.
    pub generation: i64,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

/// The verdict on a Gateway; what depends on bound ports and addresses is added by `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayVerdict {
    /// Its UID.
    pub uid: Arc<str>,
    /// The generation that was judged.
    pub generation: i64,
    /// Whether it is accepted, perhaps with some listeners that are not.
    pub accepted: bool,
    /// Its conditions but for Programmed.
    pub conditions: Vec<Condition>,
    /// Its listeners in the order of the object.
    pub listeners: Vec<ListenerVerdict>,
}

/// The verdict on a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerVerdict {
    /// Its name.
    pub name: String,
    /// Its host name, `*` for all.
    pub host: String,
    /// Under which its container port is recorded; `None`: it gets none.
    pub owner: Option<PortOwner>,
    /// The container port, once it is allotted.
    pub container_port: Option<u16>,
    /// Whether it can serve connections as soon as its port is bound.
    pub servable: bool,
    /// How many routes are attached.
    pub attached_routes: usize,
    /// The kinds of routes that may attach.
    pub supported_kinds: Vec<&'static str>,
    /// Its conditions but for Programmed.
    pub conditions: Vec<Condition>,
}

/// The verdict on a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteVerdict {
    /// The generation that was judged.
    pub generation: i64,
    /// For each parent of ours.
    pub parents: Vec<ParentVerdict>,
}

/// The verdict on a route as the child of one parent.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentVerdict {
    /// The parent, as the route names it.
    pub parent: ParentRef,
    /// The conditions.
    pub conditions: Vec<Condition>,
}
