//! Whether a reference into another namespace is allowed by a `ReferenceGrant` there.

use crate::model::Name;
use crate::resources::Resources;

/// Who refers, or what is referred to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a Name,
}

/// Whether `from` may refer to `to`: in its own namespace always.
pub(super) fn permits(resources: &Resources, from: Side<'_>, to: Side<'_>) -> bool {
    if from.name.namespace == to.name.namespace {
        return true;
    }
    let first = Name::new(&to.name.namespace, "");
    let grants = resources.reference_grants.valid.range(first..);
    let mut here = grants.take_while(|(name, _)| name.namespace == to.name.namespace);
    here.any(|(_, grant)| {
        let from_fits = grant.spec.from.iter().any(|one| {
            one.group == from.group
                && one.kind == from.kind
                && one.namespace == *from.name.namespace
        });
        from_fits
            && grant.spec.to.iter().any(|one| {
                one.group == to.group
                    && one.kind == to.kind
                    && one
                        .name
                        .as_deref()
                        .is_none_or(|name| name.is_empty() || name == &*to.name.name)
            })
    })
}
