//! Which objects are others than those that were compiled last.

use super::world::Used;
use crate::model::{Kind, Name, ObjectRef};
use crate::ports::is_record;
use crate::resources::Resources;

/// What differs between two states, of the kinds that `compile` sees. What both have in common is
/// not looked at.
pub(super) fn between(before: &Resources, after: &Resources) -> Vec<Used> {
    let mut changed = Vec::new();
    let mut add = |kind: Kind, names: &mut dyn Iterator<Item = Name>| {
        changed.extend(names.map(|name| Used::Object(ObjectRef::new(kind, name))));
    };
    add(Kind::ConfigMap, &mut after.config_maps.changed_since(&before.config_maps));
    add(Kind::Gateway, &mut after.gateways.changed_since(&before.gateways));
    add(Kind::GatewayClass, &mut after.gateway_classes.changed_since(&before.gateway_classes));
    add(Kind::HttpRoute, &mut after.http_routes.changed_since(&before.http_routes));
    add(Kind::Namespace, &mut after.namespaces.changed_since(&before.namespaces));
    add(Kind::Secret, &mut after.secrets.changed_since(&before.secrets));
    add(Kind::Service, &mut after.services.changed_since(&before.services));
    add(Kind::ServiceImport, &mut after.service_imports.changed_since(&before.service_imports));
    add(Kind::TlsRoute, &mut after.tls_routes.changed_since(&before.tls_routes));
    let grants = after.reference_grants.changed_since(&before.reference_grants);
    changed.extend(grants.map(|name| Used::Grants(name.namespace)));
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
