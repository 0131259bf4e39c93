//! Writing to an API server.

use std::future::Future;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Conflicts, FIELD_MANAGER, Precondition, WriteError, WriteFailure};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::name_of;
use crate::source::kubernetes::api_resource;

/// How long a write may take: an API server that is this slow is as good as away.
const WRITE_DEADLINE: Duration = Duration::from_secs(15);

#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
}

impl Writer {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn apply(
        &self,
        kind: Kind,
        mut object: DynamicObject,
        conflicts: Conflicts,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        // A version would turn it into a compare-and-swap.
        object.metadata.resource_version = None;
        let params = PatchParams::apply(FIELD_MANAGER);
        let params = if conflicts == Conflicts::Force { params.force() } else { params };
        let api = self.api(kind, &reference.name);
        let patch = Patch::Apply(&object);
        attempt(&reference, api.patch(&reference.name.name, &params, &patch)).await
    }

    pub(super) async fn create(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        let api = self.api(kind, &reference.name);
        attempt(&reference, api.create(&posted(), &object)).await
    }

    pub(super) async fn replace(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        let api = self.api(kind, &reference.name);
        attempt(&reference, api.replace(&reference.name.name, &posted(), &object)).await
    }

    pub(super) async fn merge(&self, object: &ObjectRef, patch: Value) -> Result<(), WriteError> {
        let api = self.api(object.kind, &object.name);
        let patch = Patch::Merge(patch);
        attempt(object, api.patch(&object.name.name, &patched(), &patch)).await.map(drop)
    }

    pub(super) async fn patch_status(
        &self,
        object: &ObjectRef,
        status: Value,
        resource_version: Option<&str>,
    ) -> Result<(), WriteError> {
        let mut patch = json!({ "status": status });
        if let (Some(version), Some(fields)) = (resource_version, patch.as_object_mut()) {
            fields.insert("metadata".to_owned(), json!({ "resourceVersion": version }));
        }
        let api = self.api(object.kind, &object.name);
        let patch = Patch::Merge(patch);
        attempt(object, api.patch_status(&object.name.name, &patched(), &patch)).await.map(drop)
    }

    pub(super) async fn delete(
        &self,
        object: &ObjectRef,
        only: Precondition,
    ) -> Result<(), WriteError> {
        let Precondition { uid, resource_version } = only;
        let preconditions = (uid.is_some() || resource_version.is_some())
            .then_some(Preconditions { resource_version, uid });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        let api = self.api(object.kind, &object.name);
        attempt(object, api.delete(&object.name.name, &params)).await.map(drop)
    }

    pub(super) async fn get(
        &self,
        object: &ObjectRef,
    ) -> Result<Option<DynamicObject>, WriteError> {
        let api = self.api(object.kind, &object.name);
        attempt(object, api.get_opt(&object.name.name)).await
    }

    fn api(&self, kind: Kind, name: &Name) -> Api<DynamicObject> {
        let (client, resource) = (self.client.clone(), api_resource(kind));
        if kind.namespaced() {
            Api::namespaced_with(client, &name.namespace, &resource)
        } else {
            Api::all_with(client, &resource)
        }
    }
}

fn posted() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

fn patched() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

async fn attempt<T>(
    object: &ObjectRef,
    write: impl Future<Output = kube::Result<T>>,
) -> Result<T, WriteError> {
    let (reason, message) = match timeout(WRITE_DEADLINE, write).await {
        Ok(Ok(written)) => return Ok(written),
        Ok(Err(error)) => failure(&error),
        Err(_) => (WriteFailure::Unreachable, "no answer in time".to_owned()),
    };
    Err(WriteError { object: object.clone(), reason, message })
}

fn failure(error: &kube::Error) -> (WriteFailure, String) {
    let kube::Error::Api(status) = error else {
        return (WriteFailure::Unreachable, error.to_string());
    };
    let reason = match status.code {
        409 if status.reason == "AlreadyExists" => WriteFailure::AlreadyExists,
        409 => WriteFailure::Conflict,
        404 => WriteFailure::NotFound,
        401 | 403 => WriteFailure::Forbidden,
        408 | 429 | 500.. => WriteFailure::Unreachable,
        _ => WriteFailure::Invalid,
    };
    (reason, status.message.clone())
}

#[cfg(test)]
mod tests;
