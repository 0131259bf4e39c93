//! The labels and annotations by which objects of ours are known, in one place.

use std::collections::BTreeMap;

use crate::model::Name;

/// Says that an object is ours; its value is [`MANAGER`].
pub const MANAGED_BY: &str = "spanway.dev/managed-by";
/// The value of [`MANAGED_BY`], and our name as a field manager.
pub const MANAGER: &str = "spanway";
/// On a derived Service: the name of its `ServiceImport`, which lies in the same namespace.
pub const DERIVED_FOR: &str = "spanway.dev/derived-for";
/// On a mirrored Service: the name of its `ServiceImport`, which lies in the same namespace.
pub const MIRRORED_FOR: &str = "spanway.dev/mirrored-for";
/// On a mirrored Service: the link whose endpoints it stands for, empty for all of them.
pub const MIRRORED_FROM: &str = "spanway.dev/mirrored-from";
/// On the `ConfigMap`s of our namespace that record container ports; the value is `true`.
pub const PORT_RECORD: &str = "spanway.dev/port-record";
/// On a LoadBalancer Service of ours: the namespace of the Gateway that it leads to.
pub const GATEWAY_NAMESPACE: &str = "spanway.dev/gateway-namespace";
/// On a LoadBalancer Service of ours: the UID of the Gateway that it leads to.
pub const GATEWAY_UID: &str = "spanway.dev/gateway-uid";
/// On a LoadBalancer Service of ours: the name of the Gateway that it leads to (GEP-1867).
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What a Service of ours stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds the cluster-set IP of this `ServiceImport`.
    Derived {
        /// The `ServiceImport`.
        import: Name,
    },
    /// It gives the import a readable name.
    Mirrored {
        /// The `ServiceImport`.
        import: Name,
        /// The one link that it stands for, or none for all.
        from: Option<String>,
    },
}

impl Standing {
    /// Reads what a Service in `namespace` with these labels stands for; `None`: it is not ours.
    pub fn read(namespace: &str, labels: Option<&Labels>) -> Option<Self> {
        let labels = labels?;
        if labels.get(MANAGED_BY).map(String::as_str) != Some(MANAGER) {
            return None;
        }
        let named = |label| labels.get(label).filter(|name: &&String| !name.is_empty());
        if let Some(import) = named(DERIVED_FOR) {
            return Some(Self::Derived { import: Name::new(namespace, import) });
        }
        let import = Name::new(namespace, named(MIRRORED_FOR)?);
        Some(Self::Mirrored { import, from: named(MIRRORED_FROM).cloned() })
    }

    /// The `ServiceImport` behind it.
    pub const fn import(&self) -> &Name {
        match self {
            Self::Derived { import } | Self::Mirrored { import, .. } => import,
        }
    }
}
