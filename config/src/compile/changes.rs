//! Which objects are others than those that were compiled last.

use imbl::ordmap::DiffItem;

use super::world::Used;
use crate::model::{Kind, Name, ObjectRef};
use crate::ports::is_record;
use crate::resources::{Objects, Resources};

/// What differs between two states, of the kinds that `compile` sees. What both have in common is
/// not looked at.
pub(super) fn between(before: &Resources, after: &Resources) -> Vec<Used> {
    let mut changed = Vec::new();
    let mut add = |kind: Kind, names: Vec<Name>| {
        changed.extend(names.into_iter().map(|name| Used::Object(ObjectRef::new(kind, name))));
    };
    add(Kind::ConfigMap, names(&before.config_maps, &after.config_maps));
    add(Kind::Gateway, names(&before.gateways, &after.gateways));
    add(Kind::GatewayClass, names(&before.gateway_classes, &after.gateway_classes));
    add(Kind::HttpRoute, names(&before.http_routes, &after.http_routes));
    add(Kind::Namespace, names(&before.namespaces, &after.namespaces));
    add(Kind::Secret, names(&before.secrets, &after.secrets));
    add(Kind::Service, names(&before.services, &after.services));
    add(Kind::ServiceImport, names(&before.service_imports, &after.service_imports));
    add(Kind::TlsRoute, names(&before.tls_routes, &after.tls_routes));
    let grants = names(&before.reference_grants, &after.reference_grants);
    changed.extend(grants.into_iter().map(|name| Used::Grants(name.namespace)));
    changed
}

/// Whether a record of container ports is among what has changed.
pub(super) fn touch_records(changed: &[Used], before: &Resources, after: &Resources) -> bool {
    changed.iter().any(|used| match used {
        Used::Object(ObjectRef { kind: Kind::ConfigMap, name }) => {
            let both = [before, after].map(|all| all.config_maps.get(name));
            both.into_iter().flatten().any(|object| is_record(object))
        }
        _ => false,
    })
}

fn names<T: PartialEq>(before: &Objects<T>, after: &Objects<T>) -> Vec<Name> {
    let valid = before.valid.diff(&after.valid).map(|item| name_of(&item));
    valid.chain(before.broken.diff(&after.broken).map(|item| name_of(&item))).collect()
}

fn name_of<V>(item: &DiffItem<'_, '_, Name, V>) -> Name {
    match item {
        DiffItem::Add(name, _)
        | DiffItem::Remove(name, _)
        | DiffItem::Update { new: (name, _), .. } => Name::clone(name),
    }
}
