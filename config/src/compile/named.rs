//! Whom routes name, so that who is new in it is found without looking through the table.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::model::BackendKey;

/// Whom attached routes name, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(OrdMap<BackendKey, usize>);

impl Named {
    /// Those that are named here and were not in `before`. What both share is not looked at.
    pub fn not_in<'n>(&'n self, before: &'n Self) -> impl Iterator<Item = &'n BackendKey> {
        before.0.diff(&self.0).filter_map(|item| match item {
            DiffItem::Add(key, _) => Some(key),
            DiffItem::Update { .. } | DiffItem::Remove(..) => None,
        })
    }

    pub(super) fn add(&mut self, key: &BackendKey) {
        match self.0.get_mut(key) {
            Some(times) => *times += 1,
            None => drop(self.0.insert(key.clone(), 1)),
        }
    }

    pub(super) fn remove(&mut self, key: &BackendKey) {
        match self.0.get_mut(key) {
            Some(times) if *times > 1 => *times -= 1,
            _ => drop(self.0.remove(key)),
        }
    }
}
