//! Whether a reference into another namespace is allowed by a `ReferenceGrant` there.

use super::world::World;
use crate::model::Name;

/// Who refers, or what is referred to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side<'a> {
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a Name,
}

/// Whether `from` may refer to `to`: in its own namespace always.
pub(super) fn permits(world: &World<'_>, from: Side<'_>, to: Side<'_>) -> bool {
    if from.name.namespace == to.name.namespace {
        return true;
    }
    world.grants(&to.name.namespace).any(|grant| {
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
