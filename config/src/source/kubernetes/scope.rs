//! What one watch is about.

use std::sync::Arc;

use kube::api::{ListParams, WatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};

use super::Options;
use crate::marks::{MANAGED_BY, PORT_RECORD};
use crate::model::{Kind, Name, ObjectRef};

/// How many objects are asked for at once: what the API server's own clients ask for.
const PAGE: u32 = 500;
/// How long the API server keeps a watch open, in seconds; kube gives up waiting after 295.
const WATCH_SECONDS: u32 = 290;

/// The kinds of which every object is read.
const EVERYWHERE: [Kind; 11] = [
    Kind::ClusterLink,
    Kind::EndpointSlice,
    Kind::Gateway,
    Kind::GatewayClass,
    Kind::HttpRoute,
    Kind::Namespace,
    Kind::ReferenceGrant,
    Kind::Service,
    Kind::ServiceExport,
    Kind::ServiceImport,
    Kind::TlsRoute,
];

/// Some objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    namespace: Option<Arc<str>>,
    pick: Pick,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pick {
    All,
    /// Those that have a label, whatever its value.
    Label(&'static str),
    Name(Arc<str>),
}

/// What is watched from the start.
pub(super) fn everywhere(options: &Options) -> Vec<Scope> {
    let own = |kind, pick| Scope { kind, namespace: Some(Arc::clone(&options.namespace)), pick };
    let mut scopes: Vec<_> =
        EVERYWHERE.map(|kind| Scope { kind, namespace: None, pick: Pick::All }).into();
    scopes.push(own(Kind::ConfigMap, Pick::Label(PORT_RECORD)));
    if options.controls {
        scopes.push(own(Kind::Pod, Pick::All));
        let pick = Pick::Label(MANAGED_BY);
        scopes.push(Scope { kind: Kind::RoleBinding, namespace: None, pick });
    }
    scopes
}

/// One object that is wanted by name; nothing for a kind that is read everywhere anyway.
pub(super) fn named(object: &ObjectRef) -> Option<Scope> {
    let ObjectRef { kind, name: Name { namespace, name } } = object.clone();
    let by_name = matches!(kind, Kind::ConfigMap | Kind::Secret);
    by_name.then_some(Scope { kind, namespace: Some(namespace), pick: Pick::Name(name) })
}

impl Scope {
    /// Whether it is all objects of its kind.
    pub(super) fn is_everything(&self) -> bool {
        self.namespace.is_none() && self.pick == Pick::All
    }

    /// The object, where it is about one alone.
    pub(super) fn object(&self) -> Option<ObjectRef> {
        let (Some(namespace), Pick::Name(name)) = (&self.namespace, &self.pick) else {
            return None;
        };
        let name = Name { namespace: Arc::clone(namespace), name: Arc::clone(name) };
        Some(ObjectRef::new(self.kind, name))
    }

    pub(super) fn api(&self, client: Client) -> Api<DynamicObject> {
        let resource = api_resource(self.kind);
        match &self.namespace {
            None => Api::all_with(client, &resource),
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        }
    }

    pub(super) fn list_params(&self) -> ListParams {
        let params = ListParams::default().limit(PAGE);
        match &self.pick {
            Pick::All => params,
            Pick::Label(label) => params.labels(label),
            Pick::Name(name) => params.fields(&format!("metadata.name={name}")),
        }
    }

    pub(super) fn watch_params(&self) -> WatchParams {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        match &self.pick {
            Pick::All => params,
            Pick::Label(label) => params.labels(label),
            Pick::Name(name) => params.fields(&format!("metadata.name={name}")),
        }
    }
}

/// The kind as kube wants it.
pub(crate) fn api_resource(kind: Kind) -> ApiResource {
    let (group, version) = kind.group_version();
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: kind.api_version(),
        kind: kind.label().to_owned(),
        plural: kind.plural().to_owned(),
    }
}
