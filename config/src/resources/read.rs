//! One object read on its own, so that a broken one costs nobody else.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Broken;
use crate::api::{
    ClusterLink, Gateway, GatewayClass, HttpRoute, Pod, ReferenceGrant, ServiceExport,
    ServiceImport, TlsRoute,
};
use crate::model::{Kind, Name};

/// The name of an object; the namespace is left out where the kind has none.
pub fn name_of(kind: Kind, object: &DynamicObject) -> Name {
    let namespace = object.metadata.namespace.as_deref().filter(|_| kind.namespaced());
    Name::new(namespace.unwrap_or_default(), object.metadata.name.as_deref().unwrap_or_default())
}

/// The version of an object, 0 where it says none that is a number.
pub fn version_of(object: &DynamicObject) -> u64 {
    let version = object.metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Whether an object can be read as what its kind says it is.
pub fn check(kind: Kind, object: DynamicObject) -> Result<(), Broken> {
    fn checked<T: DeserializeOwned>(kind: Kind, object: DynamicObject) -> Result<(), Broken> {
        read::<T>(kind, object).map(drop)
    }
    match kind {
        Kind::ClusterLink => checked::<ClusterLink>(kind, object),
        Kind::ConfigMap => checked::<ConfigMap>(kind, object),
        Kind::EndpointSlice => checked::<EndpointSlice>(kind, object),
        Kind::Gateway => checked::<Gateway>(kind, object),
        Kind::GatewayClass => checked::<GatewayClass>(kind, object),
        Kind::HttpRoute => checked::<HttpRoute>(kind, object),
        Kind::Namespace => checked::<Namespace>(kind, object),
        Kind::Pod => checked::<Pod>(kind, object),
        Kind::ReferenceGrant => checked::<ReferenceGrant>(kind, object),
        Kind::RoleBinding => checked::<RoleBinding>(kind, object),
        Kind::Secret => checked::<Secret>(kind, object),
        Kind::Service => checked::<Service>(kind, object),
        Kind::ServiceExport => checked::<ServiceExport>(kind, object),
        Kind::ServiceImport => checked::<ServiceImport>(kind, object),
        Kind::TlsRoute => checked::<TlsRoute>(kind, object),
        Kind::Lease => Ok(()),
    }
}

/// Reads an object as a `T`, or says which field cannot be read and why.
pub(super) fn read<T: DeserializeOwned>(kind: Kind, object: DynamicObject) -> Result<T, Broken> {
    let uid = object.metadata.uid.as_deref().map(Into::into);
    let generation = object.metadata.generation;
    let whole = whole(kind, object);
    serde_path_to_error::deserialize(&whole).map_err(|error| {
        let field = error.path().to_string();
        let message = error.into_inner().to_string();
        // Of a Secret nothing is kept: it could get into a log.
        let is_judged = matches!(kind, Kind::Gateway | Kind::HttpRoute | Kind::TlsRoute);
        let whole = if is_judged { whole.clone() } else { Value::Null };
        Broken { uid, generation, field, message, whole: whole.into() }
    })
}

/// The object as it stands in a file: items of a list come without kind and version.
fn whole(kind: Kind, object: DynamicObject) -> Value {
    let mut fields = match object.data {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    fields.insert("apiVersion".to_owned(), kind.api_version().into());
    fields.insert("kind".to_owned(), kind.label().into());
    // Metadata was read from JSON: it can be written as JSON again.
    let metadata = serde_json::to_value(object.metadata).unwrap_or_default();
    fields.insert("metadata".to_owned(), metadata);
    if matches!(kind, Kind::ServiceExport) {
        // An export says all that it must by its name: `spec` may be absent.
        fields.entry("spec").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    Value::Object(fields)
}
