//! Writes changes to an API server, or into a directory.

use config::model::Kind;
use config::writer::{Conflicts, Precondition, WriteError, WriteFailure, Writer};
use kube::core::DynamicObject;

use crate::plan::{Change, Object};
use crate::status::StatusPatch;

use super::{Store, StoreError};

impl Store for Writer {
    async fn carry_out(&self, change: &Change) -> Result<(), StoreError> {
        let kind = change.reference().kind;
        match change {
            // What is made by apply can later be changed by apply: fields that were created would
            // stay when they are not wanted any more. Where somebody was quicker with an object of
            // this name, its fields are not ours and the apply fails. A record of ports must not
            // be joined with another under any circumstances.
            Change::Create(object) if kind == Kind::ConfigMap => {
                done(self.create(kind, read(object)?).await)
            }
            Change::Create(object) => done(self.apply(kind, read(object)?, Conflicts::Fail).await),
            Change::Apply(object) => done(self.apply(kind, read(object)?, Conflicts::Force).await),
            Change::Replace(object) | Change::Release(object) => {
                done(self.replace(kind, read(object)?).await)
            }
            Change::Delete(doomed) => {
                let (uid, resource_version) = (doomed.uid.clone(), doomed.resource_version.clone());
                let only = Precondition { uid, resource_version };
                match self.delete(&doomed.reference, only).await {
                    Err(error) if error.reason == WriteFailure::NotFound => Ok(()),
                    other => done(other),
                }
            }
        }
    }

    async fn patch_status(&self, patch: &StatusPatch) -> Result<(), StoreError> {
        let version = patch.resource_version.as_deref();
        done(Self::patch_status(self, &patch.object, patch.status.clone(), version).await)
    }
}

fn read(object: &Object) -> Result<DynamicObject, StoreError> {
    serde_json::from_value(object.value.clone()).map_err(|why| StoreError::Failed(why.to_string()))
}

fn done<T>(result: Result<T, WriteError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.reason {
            WriteFailure::Conflict | WriteFailure::AlreadyExists | WriteFailure::NotFound => {
                StoreError::Conflict(error.message)
            }
            WriteFailure::Forbidden | WriteFailure::Invalid | WriteFailure::Unreachable => {
                StoreError::Failed(format!("{}: {}", error.reason, error.message))
            }
        }),
    }
}
