//! Names of objects.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// A namespaced name; the namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The namespace, empty for cluster-scoped objects.
    pub namespace: Arc<str>,
    /// The name within it.
    pub name: Arc<str>,
}

impl Name {
    /// The name `namespace/name`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl Ord for Name {
    /// Most names that are compared lie in one namespace, and share the text of its name.
    fn cmp(&self, other: &Self) -> Ordering {
        let same = Arc::ptr_eq(&self.namespace, &other.namespace);
        let by_namespace =
            if same { Ordering::Equal } else { self.namespace.cmp(&other.namespace) };
        by_namespace.then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// The name of a link: that of its `ClusterLink`, which is also what we call the remote cluster.
pub type LinkName = Arc<str>;

/// The kinds of objects that Spanway reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the kind of that name")]
pub enum Kind {
    ClusterLink,
    ConfigMap,
    EndpointSlice,
    Gateway,
    GatewayClass,
    HttpRoute,
    Lease,
    Namespace,
    Pod,
    ReferenceGrant,
    RoleBinding,
    Secret,
    Service,
    ServiceExport,
    ServiceImport,
    TlsRoute,
}

impl Kind {
    /// Every kind, in the order of their names.
    pub const ALL: [Self; 16] = [
        Self::ClusterLink,
        Self::ConfigMap,
        Self::EndpointSlice,
        Self::Gateway,
        Self::GatewayClass,
        Self::HttpRoute,
        Self::Lease,
        Self::Namespace,
        Self::Pod,
        Self::ReferenceGrant,
        Self::RoleBinding,
        Self::Secret,
        Self::Service,
        Self::ServiceExport,
        Self::ServiceImport,
        Self::TlsRoute,
    ];

    /// The kind as it stands in an object.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClusterLink => "ClusterLink",
            Self::ConfigMap => "ConfigMap",
            Self::EndpointSlice => "EndpointSlice",
            Self::Gateway => "Gateway",
            Self::GatewayClass => "GatewayClass",
            Self::HttpRoute => "HTTPRoute",
            Self::Lease => "Lease",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::RoleBinding => "RoleBinding",
            Self::Secret => "Secret",
            Self::Service => "Service",
            Self::ServiceExport => "ServiceExport",
            Self::ServiceImport => "ServiceImport",
            Self::TlsRoute => "TLSRoute",
        }
    }

    /// The API group and the version that is read and written.
    pub const fn group_version(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterLink => ("spanway.dev", "v1alpha1"),
            Self::ConfigMap | Self::Namespace | Self::Pod | Self::Secret | Self::Service => {
                ("", "v1")
            }
            Self::EndpointSlice => ("discovery.k8s.io", "v1"),
            Self::Gateway
            | Self::GatewayClass
            | Self::HttpRoute
            | Self::ReferenceGrant
            | Self::TlsRoute => ("gateway.networking.k8s.io", "v1"),
            Self::Lease => ("coordination.k8s.io", "v1"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1"),
            Self::ServiceExport | Self::ServiceImport => ("multicluster.x-k8s.io", "v1beta1"),
        }
    }
}

impl Kind {
    /// The name of the resource in the API server's paths.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::ClusterLink => "clusterlinks",
            Self::ConfigMap => "configmaps",
            Self::EndpointSlice => "endpointslices",
            Self::Gateway => "gateways",
            Self::GatewayClass => "gatewayclasses",
            Self::HttpRoute => "httproutes",
            Self::Lease => "leases",
            Self::Namespace => "namespaces",
            Self::Pod => "pods",
            Self::ReferenceGrant => "referencegrants",
            Self::RoleBinding => "rolebindings",
            Self::Secret => "secrets",
            Self::Service => "services",
            Self::ServiceExport => "serviceexports",
            Self::ServiceImport => "serviceimports",
            Self::TlsRoute => "tlsroutes",
        }
    }

    /// Whether its objects live in namespaces.
    pub const fn namespaced(self) -> bool {
        !matches!(self, Self::ClusterLink | Self::GatewayClass | Self::Namespace)
    }

    /// The `apiVersion` as it stands in an object.
    pub fn api_version(self) -> String {
        match self.group_version() {
            ("", version) => version.to_owned(),
            (group, version) => format!("{group}/{version}"),
        }
    }

    /// The kind that an object says it has, if we read it.
    pub fn parse(api_version: &str, kind: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|known| known.label() == kind)?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        (found.group_version() == (group, version) && !api_version.starts_with('/'))
            .then_some(found)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Which object is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
}

impl ObjectRef {
    /// The object of this kind and name.
    pub const fn new(kind: Kind, name: Name) -> Self {
        Self { kind, name }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
