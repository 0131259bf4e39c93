//! The border outwards: what controllers write, to an API server or into a directory.
//!
//! Each write is one attempt with a deadline; who writes decides from the error whether and when
//! to try again.

mod directory;
mod kubernetes;

use std::path::Path;
use std::sync::Arc;

use kube::Client;
use kube::core::{DynamicObject, TypeMeta};
use serde_json::Value;

use crate::model::{Kind, ObjectRef};

/// The name under which the API server records that fields are ours.
pub const FIELD_MANAGER: &str = "spanway";

/// Writes objects. Cheap to clone.
#[derive(Clone)]
pub struct Writer(Target);

#[derive(Clone)]
enum Target {
    Kubernetes(kubernetes::Writer),
    Directory(Arc<directory::Writer>),
}

/// What happens to fields that somebody else has set to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// The write fails with a conflict.
    Fail,
    /// The fields become ours.
    Force,
}

/// Which version of an object is meant; any where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// The very object, not one of the same name.
    pub uid: Option<String>,
    /// The very version of it.
    pub resource_version: Option<String>,
}

/// Why an object was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot write {object}: {reason}: {message}")]
pub struct WriteError {
    /// The object.
    pub object: ObjectRef,
    /// Why, in a word.
    pub reason: WriteFailure,
    /// Why, in the words of the API server or of the operating system.
    pub message: String,
}

/// The ways in which a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteFailure {
    /// It is not the version that was meant, or somebody else holds the fields.
    Conflict,
    /// There is one of this name.
    AlreadyExists,
    /// There is none, or its kind or namespace is not there.
    NotFound,
    /// We may not.
    Forbidden,
    /// It was understood and refused.
    Invalid,
    /// Nobody answered, or not now: the same write may work later.
    Unreachable,
}

impl WriteFailure {
    /// The failure as a word, for logs and labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::AlreadyExists => "already exists",
            Self::NotFound => "not found",
            Self::Forbidden => "forbidden",
            Self::Invalid => "invalid",
            Self::Unreachable => "unreachable",
        }
    }
}

impl std::fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl Writer {
    /// Writes to an API server.
    pub fn kubernetes(client: Client) -> Self {
        Self(Target::Kubernetes(kubernetes::Writer::new(client)))
    }

    /// Writes into the folder `.spanway` of a directory, which its source reads too.
    pub fn directory(path: &Path) -> Self {
        Self(Target::Directory(Arc::new(directory::Writer::new(path))))
    }

    /// Makes the fields that are given what they are given as, whether the object is there or not,
    /// and those that were given the last time and are not now go (server-side apply).
    /// Gives the object as it is then.
    pub async fn apply(
        &self,
        kind: Kind,
        object: DynamicObject,
        conflicts: Conflicts,
    ) -> Result<DynamicObject, WriteError> {
        let object = typed(kind, object);
        match &self.0 {
            Target::Kubernetes(writer) => writer.apply(kind, object, conflicts).await,
            Target::Directory(writer) => writer.apply(kind, object).await,
        }
    }

    /// Makes an object that must not be there yet.
    pub async fn create(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let object = typed(kind, object);
        match &self.0 {
            Target::Kubernetes(writer) => writer.create(kind, object).await,
            Target::Directory(writer) => writer.create(kind, object).await,
        }
    }

    /// Replaces the version of an object that its `resourceVersion` names, and no other.
    pub async fn replace(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let object = typed(kind, object);
        match &self.0 {
            Target::Kubernetes(writer) => writer.replace(kind, object).await,
            Target::Directory(writer) => writer.replace(kind, object).await,
        }
    }

    /// Changes the fields of an object that a merge patch (RFC 7386) names. A `resourceVersion` in
    /// it says which version is meant.
    pub async fn merge(&self, object: &ObjectRef, patch: Value) -> Result<(), WriteError> {
        match &self.0 {
            Target::Kubernetes(writer) => writer.merge(object, patch).await,
            Target::Directory(writer) => writer.merge(object, patch).await,
        }
    }

    /// Changes the fields of an object's status that are given; lists are replaced as a whole, so
    /// say the version from which they were made where others write into them too.
    pub async fn patch_status(
        &self,
        object: &ObjectRef,
        status: Value,
        resource_version: Option<&str>,
    ) -> Result<(), WriteError> {
        match &self.0 {
            Target::Kubernetes(writer) => {
                writer.patch_status(object, status, resource_version).await
            }
            Target::Directory(writer) => writer.patch_status(object, status).await,
        }
    }

    /// Deletes an object if it is the one that is meant.
    pub async fn delete(&self, object: &ObjectRef, only: Precondition) -> Result<(), WriteError> {
        match &self.0 {
            Target::Kubernetes(writer) => writer.delete(object, only).await,
            Target::Directory(writer) => writer.delete(object, only).await,
        }
    }

    /// Reads one object as it is now, past all watches.
    pub async fn get(&self, object: &ObjectRef) -> Result<Option<DynamicObject>, WriteError> {
        match &self.0 {
            Target::Kubernetes(writer) => writer.get(object).await,
            Target::Directory(writer) => writer.get(object).await,
        }
    }
}

/// The object with its kind, as it must be written, and without what only the API server writes.
fn typed(kind: Kind, mut object: DynamicObject) -> DynamicObject {
    let (api_version, kind) = (kind.api_version(), kind.label().to_owned());
    object.types = Some(TypeMeta { api_version, kind });
    object.metadata.managed_fields = None;
    object
}
