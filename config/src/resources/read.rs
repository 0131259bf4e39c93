//! One object read on its own, so that a broken one costs nobody else.

use kube::core::{DynamicObject, ObjectMeta};
use serde_json::Value;
use serde_path_to_error::Track;

use super::{Broken, Object};
use crate::model::{Kind, Name};

/// The name of an object; the namespace is left out where the kind has none.
pub fn name_of(kind: Kind, object: &DynamicObject) -> Name {
    let namespace = object.metadata.namespace.as_deref().filter(|_| kind.namespaced());
    Name::new(namespace.unwrap_or_default(), object.metadata.name.as_deref().unwrap_or_default())
}

/// The version of an object, 0 where it says none that is a number.
pub fn version_of(metadata: &ObjectMeta) -> u64 {
    let version = metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// Reads an object as what its kind says that it is, or says which field cannot be read and why.
pub(crate) fn read(kind: Kind, object: DynamicObject) -> Result<Object, Broken> {
    let uid = object.metadata.uid.as_deref().map(Into::into);
    let generation = object.metadata.generation;
    let whole = whole(kind, object);
    let mut track = Track::new();
    Object::read(kind, serde_path_to_error::Deserializer::new(&whole, &mut track)).map_err(
        |error| {
            let field = track.path().to_string();
            let message = error.to_string();
            // Of a Secret nothing is kept: it could get into a log.
            let is_judged = matches!(kind, Kind::Gateway | Kind::HttpRoute | Kind::TlsRoute);
            let whole = if is_judged { whole.clone() } else { Value::Null };
            Broken { uid, generation, field, message, whole: whole.into() }
        },
    )
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
