//! Plans in which namespaces we may read Secrets: where a Gateway of ours validly refers to one.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use kube::core::ObjectMeta;

use crate::marks::{MANAGED_BY, MANAGER};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::Objects;

/// The one `ClusterRole` that is bound, and the name of each `RoleBinding`.
pub const SECRET_READER: &str = "spanway-secret-reader";

/// Who is to read Secrets, and where at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleBindingSettings {
    /// The `ServiceAccount`s of gateways and controllers.
    pub service_accounts: Vec<Name>,
    /// The namespaces in which we may read Secrets; `None` for all.
    pub namespaces: Option<BTreeSet<String>>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleBindingPlan {
    /// To be made, or made as they should be.
    pub apply: Vec<RoleBinding>,
    /// To be deleted: nothing there is referred to any more, or the role is another, which a
    /// `RoleBinding` never changes.
    pub delete: Vec<Name>,
    /// Secrets that are referred to, in namespaces where we may not read them.
    pub refused: Vec<ObjectRef>,
}

/// Plans the `RoleBinding`s for the Secrets among `wanted`, from those that stand. Ours are known
/// by their mark, whoever led when they were made.
pub fn plan_role_bindings(
    wanted: &BTreeSet<ObjectRef>,
    standing: &Objects<RoleBinding>,
    settings: &RoleBindingSettings,
) -> RoleBindingPlan {
    let mut plan = RoleBindingPlan::default();
    let mut namespaces = BTreeSet::new();
    for secret in wanted.iter().filter(|object| object.kind == Kind::Secret) {
        let namespace = &*secret.name.namespace;
        if settings.namespaces.as_ref().is_none_or(|allowed| allowed.contains(namespace)) {
            namespaces.insert(namespace);
        } else {
            plan.refused.push(secret.clone());
        }
    }
    let is_wanted =
        |name: &Name| &*name.name == SECRET_READER && namespaces.contains(&*name.namespace);
    let ours = standing.valid.iter().filter(|(_, held)| is_ours(held));
    plan.delete = ours.map(|(name, _)| name).filter(|name| !is_wanted(name)).cloned().collect();
    for namespace in &namespaces {
        let wanted = binding(namespace, settings);
        let name = Name::new(namespace, SECRET_READER);
        match standing.get(&name) {
            Some(held) if held.role_ref != wanted.role_ref => plan.delete.push(name),
            Some(held) if is_ours(held) && held.subjects == wanted.subjects => {}
            _ => plan.apply.push(wanted),
        }
    }
    plan
}

fn is_ours(held: &RoleBinding) -> bool {
    let labels = held.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|value| value == MANAGER)
}

fn binding(namespace: &str, settings: &RoleBindingSettings) -> RoleBinding {
    let subjects = settings.service_accounts.iter().map(|account| Subject {
        kind: "ServiceAccount".to_owned(),
        name: account.name.to_string(),
        namespace: Some(account.namespace.to_string()),
        api_group: None,
    });
    RoleBinding {
        metadata: ObjectMeta {
            name: Some(SECRET_READER.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: SECRET_READER.to_owned(),
        },
        subjects: Some(subjects.collect()),
    }
}
