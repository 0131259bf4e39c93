//! Writing into a directory: one file an object, replaced as a whole by renaming.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::DynamicObject;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::{Precondition, WriteError, WriteFailure};
use crate::model::{Kind, ObjectRef};
use crate::resources::name_of;
use crate::source::directory::{OBJECTS_FOLDER, OWN_FOLDER, STATUS_FOLDER, find, uid};

#[derive(Debug)]
pub(super) struct Writer {
    /// Shared with the threads that write, one after the other: a version is given out once.
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Files {
    root: PathBuf,
    version: u64,
}

type Failed = (WriteFailure, String);

impl Writer {
    pub(super) fn new(root: &Path) -> Self {
        let files = Files { root: root.to_owned(), version: 0 };
        Self { files: Arc::new(Mutex::new(files)) }
    }

    pub(super) async fn apply(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        self.act(reference, move |files, reference| {
            let known = files.made(reference)?;
            files.put(reference, object, known.as_ref())
        })
        .await
    }

    pub(super) async fn create(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        self.act(reference, move |files, reference| {
            if files.made(reference)?.is_some() || files.written(reference)?.is_some() {
                return Err((WriteFailure::AlreadyExists, "it is there already".to_owned()));
            }
            files.put(reference, object, None)
        })
        .await
    }

    pub(super) async fn replace(
        &self,
        kind: Kind,
        object: DynamicObject,
    ) -> Result<DynamicObject, WriteError> {
        let reference = ObjectRef::new(kind, name_of(kind, &object));
        self.act(reference, move |files, reference| {
            let known = files.made(reference)?.ok_or_else(absent)?;
            let resource_version = object.metadata.resource_version.clone();
            meant(&known, &Precondition { uid: None, resource_version })?;
            files.put(reference, object, Some(&known))
        })
        .await
    }

    pub(super) async fn merge(&self, object: &ObjectRef, patch: Value) -> Result<(), WriteError> {
        self.act(object.clone(), move |files, reference| {
            let known = files.made(reference)?.ok_or_else(absent)?;
            let version = patch.pointer("/metadata/resourceVersion").and_then(Value::as_str);
            let resource_version = version.map(ToOwned::to_owned);
            meant(&known, &Precondition { uid: None, resource_version })?;
            let mut whole = serde_json::to_value(&known).map_err(invalid)?;
            merge(&mut whole, patch);
            let object = serde_json::from_value(whole).map_err(invalid)?;
            files.put(reference, object, Some(&known)).map(drop)
        })
        .await
    }

    pub(super) async fn patch_status(
        &self,
        object: &ObjectRef,
        status: Value,
    ) -> Result<(), WriteError> {
        self.act(object.clone(), move |files, reference| files.say(reference, status)).await
    }

    pub(super) async fn delete(
        &self,
        object: &ObjectRef,
        only: Precondition,
    ) -> Result<(), WriteError> {
        self.act(object.clone(), move |files, reference| {
            let known = files.made(reference)?.ok_or_else(absent)?;
            meant(&known, &only)?;
            fs::remove_file(files.path(OBJECTS_FOLDER, reference)?).map_err(unwritable)?;
            match fs::remove_file(files.path(STATUS_FOLDER, reference)?) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritable(error)),
                _ => Ok(()),
            }
        })
        .await
    }

    pub(super) async fn get(
        &self,
        object: &ObjectRef,
    ) -> Result<Option<DynamicObject>, WriteError> {
        self.act(object.clone(), |files, reference| match files.written(reference)? {
            None => files.made(reference),
            written => Ok(written),
        })
        .await
    }

    /// Does one thing after the other, on a thread that may wait for the disk.
    async fn act<T: Send + 'static>(
        &self,
        object: ObjectRef,
        act: impl FnOnce(&mut Files, &ObjectRef) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, WriteError> {
        let mut files = Arc::clone(&self.files).lock_owned().await;
        let reference = object.clone();
        let done = tokio::task::spawn_blocking(move || act(&mut files, &reference)).await;
        let done = done.unwrap_or_else(|error| Err((WriteFailure::Unreachable, error.to_string())));
        done.map_err(|(reason, message)| WriteError { object, reason, message })
    }
}

impl Files {
    /// The file of an object. A name that is no object's name never becomes a path.
    fn path(&self, folder: &str, object: &ObjectRef) -> Result<PathBuf, Failed> {
        let (namespace, name) = (&object.name.namespace, &object.name.name);
        let fits = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        };
        if name.is_empty() || !fits(name) || !fits(namespace) {
            let message = format!("`{}` is not the name of an object", object.name);
            return Err((WriteFailure::Invalid, message));
        }
        let file = format!("{}.{namespace}.{name}.yaml", object.kind);
        Ok(self.root.join(OWN_FOLDER).join(folder).join(file))
    }

    /// The object as we made it, if we did.
    fn made(&self, object: &ObjectRef) -> Result<Option<DynamicObject>, Failed> {
        read(&self.path(OBJECTS_FOLDER, object)?)
    }

    /// The object as the user wrote it, which counts before what we made.
    fn written(&self, object: &ObjectRef) -> Result<Option<DynamicObject>, Failed> {
        find(&self.root, object).map_err(unwritable)
    }

    /// Writes an object unless it is there in just this form.
    fn put(
        &mut self,
        reference: &ObjectRef,
        mut object: DynamicObject,
        known: Option<&DynamicObject>,
    ) -> Result<DynamicObject, Failed> {
        let path = self.path(OBJECTS_FOLDER, reference)?;
        let now = Timestamp::now();
        let metadata = &mut object.metadata;
        let before = known.map(|known| &known.metadata);
        metadata.uid = Some(uid(reference));
        let created = before.and_then(|before| before.creation_timestamp.clone());
        metadata.creation_timestamp = Some(created.unwrap_or_else(|| Time(whole_seconds(now))));
        metadata.resource_version = before.and_then(|before| before.resource_version.clone());
        if let Some(fields) = object.data.as_object_mut() {
            // What is said about an object stands beside it.
            fields.remove("status");
        }
        if known == Some(&object) {
            return Ok(object);
        }
        object.metadata.resource_version = Some(self.next(now).to_string());
        write(&path, &object)?;
        Ok(object)
    }

    fn say(&self, object: &ObjectRef, status: Value) -> Result<(), Failed> {
        let path = self.path(STATUS_FOLDER, object)?;
        let known = read(&path)?.and_then(|known| known.data.get("status").cloned());
        let mut whole = known.clone().unwrap_or_else(|| Value::Object(Map::new()));
        merge(&mut whole, status);
        if known.as_ref() == Some(&whole) {
            return Ok(());
        }
        let (namespace, name) = (&*object.name.namespace, &*object.name.name);
        let mut metadata = json!({ "name": name });
        if let (true, Some(fields)) = (object.kind.namespaced(), metadata.as_object_mut()) {
            fields.insert("namespace".to_owned(), namespace.into());
        }
        let said = json!({
            "apiVersion": object.kind.api_version(),
            "kind": object.kind.label(),
            "metadata": metadata,
            "status": whole,
        });
        write(&path, &said)
    }

    /// A version above all before it, over restarts too.
    fn next(&mut self, now: Timestamp) -> u64 {
        let time = u64::try_from(now.as_microsecond()).unwrap_or_default();
        self.version = time.max(self.version + 1);
        self.version
    }
}

/// Times of objects are written in whole seconds.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Whether the object is the one that is meant.
fn meant(known: &DynamicObject, only: &Precondition) -> Result<(), Failed> {
    let differs = |wanted: &Option<String>, has: &Option<String>| wanted.is_some() && wanted != has;
    let metadata = &known.metadata;
    if differs(&only.uid, &metadata.uid)
        || differs(&only.resource_version, &metadata.resource_version)
    {
        return Err((WriteFailure::Conflict, "it is not the version that was meant".to_owned()));
    }
    Ok(())
}

/// Merges a patch into a value (RFC 7386).
fn merge(value: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(fields) = value.as_object_mut() else { return };
    for (key, patch) in patch {
        if patch.is_null() {
            fields.remove(&key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), patch);
        }
    }
}

fn read(path: &Path) -> Result<Option<DynamicObject>, Failed> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unwritable(error)),
    };
    // Versions before this one wrote YAML.
    let value: Value =
        serde_json::from_str(&text).or_else(|_| serde_saphyr::from_str(&text)).map_err(invalid)?;
    serde_json::from_value(value).map(Some).map_err(invalid)
}

/// Writes a file that nobody ever sees half-written, and nobody else may read: it may be a key.
/// It is JSON, which is YAML too and is read again in a fraction of the time.
fn write(path: &Path, object: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string(object).map_err(invalid)?;
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder)?;
        // Names that start with a dot are not read by the source.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = folder.join(format!(".{name}.unfinished"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&unfinished)?.write_all(text.as_bytes())?;
        fs::rename(&unfinished, path)
    };
    written().map_err(unwritable)
}

fn absent() -> Failed {
    (WriteFailure::NotFound, "there is none that was made here".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn invalid(error: impl ToString) -> Failed {
    (WriteFailure::Invalid, error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn unwritable(error: io::Error) -> Failed {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            WriteFailure::Forbidden
        }
        _ => WriteFailure::Unreachable,
    };
    (reason, error.to_string())
}

#[cfg(test)]
mod tests;
