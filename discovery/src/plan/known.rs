//! What was known after one plan and counts for the next: of an object that has not changed since,
//! and is made of the same, nothing is made and compared again.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use config::api::mcs::ServiceImport;
use config::model::Name;
use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::Change;
use super::services::{Owner, is_labelled, owner};

/// What is known. It changes nothing of what is planned.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Whose the Services were.
    pub owners: Owners,
    pub(super) imports: Standing<ServiceImport>,
    pub(super) services: Standing<Service>,
    pub(super) slices: Standing<EndpointSlice>,
}

/// Whose each Service is that bears our labels.
#[derive(Clone, Debug, Default)]
pub struct Owners(pub(super) OrdMap<Name, (Arc<Service>, Owner)>);

/// The objects that stand as they are wanted, each with what it is made of.
#[derive(Clone, Debug)]
pub(super) struct Standing<T>(BTreeMap<Name, (Arc<T>, Imprint)>);

/// What an object is made of, in short: no two that differ meet by chance.
type Imprint = [u8; 32];

impl Owners {
    /// Looks whose each of the Services is.
    pub fn of(services: &OrdMap<Name, Arc<Service>>) -> Self {
        Self::default().next(services)
    }

    /// The same, where this was found out the last time.
    #[must_use]
    pub fn next(&self, services: &OrdMap<Name, Arc<Service>>) -> Self {
        let labelled = services.iter().filter(|(_, service)| is_labelled(service));
        let owners = labelled.map(|(name, service)| {
            let known = self.0.get(name).filter(|(known, _)| Arc::ptr_eq(known, service));
            let owner = known.map_or_else(|| owner(service), |(_, owner)| *owner);
            (name.clone(), (Arc::clone(service), owner))
        });
        Self(owners.collect())
    }
}

impl<T> Default for Standing<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Standing<T> {
    /// What makes `object` as it is wanted if it is `made_of` this: nothing by what was known
    /// `before`, or else by a look. One that stands as it is wanted is known from now on.
    pub(super) fn change(
        &mut self,
        before: &Self,
        (name, object): (&Name, &Arc<T>),
        made_of: impl Hash,
        look: impl FnOnce() -> Option<Change>,
    ) -> Option<Change> {
        let imprint = imprint(made_of);
        let known = before
            .0
            .get(name)
            .is_some_and(|(known, of)| Arc::ptr_eq(known, object) && *of == imprint);
        let change = if known { None } else { look() };
        if change.is_none() {
            self.0.insert(name.clone(), (Arc::clone(object), imprint));
        }
        change
    }
}

fn imprint(of: impl Hash) -> Imprint {
    let mut bytes = Bytes(Vec::new());
    of.hash(&mut bytes);
    let mut imprint = Imprint::default();
    imprint.copy_from_slice(digest(&SHA256, &bytes.0).as_ref());
    imprint
}

/// Collects what is hashed.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        // The digest of the bytes is what counts; so much of them tells hash maps something, too.
        self.0.len() as u64
    }
}
