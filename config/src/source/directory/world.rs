//! The objects of all files together, and what the API server would add to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Map, Value};

use super::super::FileProblem;
use super::file::{Content, Entry, File};
use super::files::{Role, Texts};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Broken, Resources, Slices, version_of};

/// The label by which a namespace is selected by its name; the API server sets it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Everything that a directory says.
#[derive(Debug)]
pub(super) struct World {
    files: BTreeMap<(Role, PathBuf), File>,
    known: BTreeMap<ObjectRef, Known>,
    version: u64,
    twice: Vec<FileProblem>,
    unreadable: Option<String>,
    pub(super) resources: Resources,
    pub(super) slices: Slices,
}

/// What has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) resources: bool,
    pub(super) slices: bool,
}

/// An object as it was last taken in.
#[derive(Debug)]
struct Known {
    content: Content,
    status: Option<Value>,
    generation: i64,
    created: Timestamp,
}

/// An object as the files have it now.
#[derive(Debug, PartialEq)]
struct Wanted {
    content: Content,
    status: Option<Value>,
}

impl World {
    /// Nothing yet. Versions start at the time, so that they go on rising after a restart.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            files: BTreeMap::new(),
            known: BTreeMap::new(),
            version: u64::try_from(now.as_microsecond()).unwrap_or_default(),
            twice: Vec::new(),
            unreadable: None,
            resources: Resources::default(),
            slices: Slices::default(),
        }
    }

    /// Takes in what the files say now.
    pub(super) fn take(&mut self, texts: Result<Texts, String>, now: Timestamp) -> Changed {
        if self.read(texts) { self.settle(now) } else { Changed::default() }
    }

    /// Reads the files that have changed, and says whether any has. A directory that cannot be
    /// read changes nothing.
    pub(super) fn read(&mut self, texts: Result<Texts, String>) -> bool {
        let texts = match texts {
            Ok(texts) => texts,
            Err(reason) => {
                self.unreadable = Some(reason);
                return false;
            }
        };
        self.unreadable = None;
        let before = self.files.len();
        self.files.retain(|key, _| texts.contains_key(key));
        let mut changed = self.files.len() != before;
        for ((role, path), text) in texts {
            let file = self.files.entry((role, path.clone())).or_default();
            changed |= file.take(&path, text, role);
        }
        changed
    }

    /// What is wrong with the files.
    pub(super) fn problems(&self) -> Vec<FileProblem> {
        let mut problems: Vec<_> =
            self.files.values().flat_map(|file| file.problems.iter().cloned()).collect();
        problems.extend(self.twice.iter().cloned());
        problems.sort();
        problems
    }

    /// The file and the line on which a field of an object stands.
    pub(super) fn place(&self, object: &ObjectRef, field: &str) -> Option<(&Path, u32)> {
        let mut files = self.files.iter().filter(|((role, _), _)| *role != Role::Status);
        files.find_map(|((_, path), file)| Some((path.as_path(), file.line_of(object, field)?)))
    }

    /// Why the directory itself cannot be read.
    pub(super) fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// The highest version that was given out.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Brings the objects into line with the files.
    pub(super) fn settle(&mut self, now: Timestamp) -> Changed {
        let (wanted, twice) = wanted(&self.files);
        self.twice = twice;
        let mut changed = Changed::default();
        let gone: Vec<_> =
            self.known.keys().filter(|object| !wanted.contains_key(*object)).cloned().collect();
        for object in gone {
            self.known.remove(&object);
            self.remove(&object);
            changed.note(object.kind);
        }
        for (object, wanted) in wanted {
            if self.put(&object, wanted, now) {
                changed.note(object.kind);
            }
        }
        changed
    }

    fn remove(&mut self, object: &ObjectRef) {
        self.version += 1;
        if object.kind == Kind::EndpointSlice {
            self.slices.remove(&object.name);
            self.slices.saw(self.version);
        } else {
            self.resources.remove(object);
            self.resources.saw(object.kind, self.version);
        }
    }

    /// Takes one object in if it differs from what is known. Gives whether it does.
    fn put(&mut self, object: &ObjectRef, wanted: Wanted, now: Timestamp) -> bool {
        let known = self.known.get(object);
        if known.is_some_and(|old| old.content == wanted.content && old.status == wanted.status) {
            return false;
        }
        let same = known.is_some_and(|old| same_spec(&old.content, &wanted.content));
        let generation = known.map_or(1, |old| old.generation + i64::from(!same));
        let created = known.map_or(now, |old| old.created);
        self.version = (self.version + 1).max(own_version(&wanted.content));
        let stamp = Stamp { uid: uid(object), generation, created, version: self.version };
        match &wanted.content {
            Content::Good(good) => {
                let stamped = stamp.on((**good).clone(), wanted.status.as_ref());
                if object.kind == Kind::EndpointSlice {
                    self.slices.apply(stamped);
                } else {
                    self.resources.apply(object.kind, stamped);
                }
            }
            Content::Broken(broken) => self.break_off(object, &stamp, broken.clone()),
        }
        let Wanted { content, status } = wanted;
        self.known.insert(object.clone(), Known { content, status, generation, created });
        true
    }

    fn break_off(&mut self, object: &ObjectRef, stamp: &Stamp, mut broken: Broken) {
        broken.uid.get_or_insert_with(|| stamp.uid.as_str().into());
        broken.generation.get_or_insert(stamp.generation);
        if object.kind == Kind::EndpointSlice {
            self.slices.break_off(&object.name, broken);
            self.slices.saw(stamp.version);
        } else {
            self.resources.break_off(object, broken);
            self.resources.saw(object.kind, stamp.version);
        }
    }
}

impl Changed {
    fn note(&mut self, kind: Kind) {
        if kind == Kind::EndpointSlice {
            self.slices = true;
        } else {
            self.resources = true;
        }
    }
}

/// What the API server would add to an object.
struct Stamp {
    uid: String,
    generation: i64,
    created: Timestamp,
    version: u64,
}

impl Stamp {
    fn on(&self, mut object: DynamicObject, status: Option<&Value>) -> DynamicObject {
        let metadata = &mut object.metadata;
        metadata.uid.get_or_insert_with(|| self.uid.clone());
        metadata.generation = Some(self.generation);
        metadata.creation_timestamp.get_or_insert(Time(self.created));
        metadata.resource_version.get_or_insert_with(|| self.version.to_string());
        metadata.managed_fields = None;
        if let (Some(status), Some(fields)) = (status, object.data.as_object_mut()) {
            fields.insert("status".to_owned(), status.clone());
        }
        object
    }
}

/// Puts the objects of all files together. An object that stands in two files counts as the first
/// says; what we made gives way to what the user wrote without a word.
fn wanted(
    files: &BTreeMap<(Role, PathBuf), File>,
) -> (BTreeMap<ObjectRef, Wanted>, Vec<FileProblem>) {
    let mut wanted = BTreeMap::new();
    let mut places: BTreeMap<ObjectRef, (&Path, u32)> = BTreeMap::new();
    let mut twice = Vec::new();
    for ((role, path), file) in files {
        for entry in &file.entries {
            if *role == Role::Status {
                say(&mut wanted, entry);
            } else if let Some((first, line)) = places.get(&entry.object) {
                if *role == Role::Written {
                    twice.push(duplicate(path, entry, first, *line));
                }
            } else {
                places.insert(entry.object.clone(), (path, entry.line));
                let content = entry.content.clone();
                wanted.insert(entry.object.clone(), Wanted { content, status: None });
            }
        }
    }
    add_namespaces(&mut wanted);
    (wanted, twice)
}

/// Adds what we say about an object, if there is such an object.
fn say(wanted: &mut BTreeMap<ObjectRef, Wanted>, entry: &Entry) {
    let Content::Good(said) = &entry.content else { return };
    if let Some(object) = wanted.get_mut(&entry.object) {
        object.status = said.data.get("status").cloned();
    }
}

fn duplicate(path: &Path, entry: &Entry, first: &Path, line: u32) -> FileProblem {
    FileProblem {
        file: path.to_owned(),
        line: entry.line,
        object: Some(entry.object.clone()),
        field: String::new(),
        message: format!("it stands in `{}` on line {line} already", first.display()),
    }
}

/// The namespaces that objects are in exist, and each can be selected by its name.
fn add_namespaces(wanted: &mut BTreeMap<ObjectRef, Wanted>) {
    let names: BTreeSet<_> = wanted
        .keys()
        .filter(|object| object.kind.namespaced())
        .map(|object| Arc::clone(&object.name.namespace))
        .collect();
    for name in names {
        let object = ObjectRef::new(Kind::Namespace, Name { namespace: "".into(), name });
        let content = Content::Good(Box::new(namespace(&object.name.name)));
        wanted.entry(object).or_insert(Wanted { content, status: None });
    }
    for (object, wanted) in wanted.iter_mut() {
        if let (Kind::Namespace, Content::Good(content)) = (object.kind, &mut wanted.content) {
            let labels = content.metadata.labels.get_or_insert_default();
            labels.insert(NAMESPACE_NAME.to_owned(), object.name.name.to_string());
        }
    }
}

fn namespace(name: &str) -> DynamicObject {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    DynamicObject { types: None, metadata, data: Value::Object(Map::new()) }
}

/// The version that its writer gave an object.
fn own_version(content: &Content) -> u64 {
    match content {
        Content::Good(object) => version_of(object),
        Content::Broken(_) => 0,
    }
}

/// Whether two versions of an object ask for the same: metadata and status aside.
fn same_spec(old: &Content, new: &Content) -> bool {
    match (old, new) {
        (Content::Good(old), Content::Good(new)) => old.data == new.data,
        (Content::Broken(old), Content::Broken(new)) => old == new,
        _ => false,
    }
}

/// A UID that an object keeps over restarts: a hash (FNV-1a, 128 bits) of what it is called.
pub(crate) fn uid(object: &ObjectRef) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = object.to_string();
    let hash = text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let hex = format!("{hash:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| hex.get(part).unwrap_or_default());
    parts.join("-")
}
