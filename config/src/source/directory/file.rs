//! One file: its text, and the last good state of its objects.

use std::collections::{BTreeMap, btree_map};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Map, Value};

use super::super::FileProblem;
use super::document::{Node, Part, Wrong, parts};
use super::files::{Role, Text};
use super::stored::Stored;
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Broken, Object, name_of, read};

/// The field of a Secret that is written only.
const STRING_DATA: &str = "stringData";
/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";
/// The API groups of which we read most kinds: an unknown kind of them is worth a word.
const OUR_GROUPS: [&str; 3] = ["gateway.networking.k8s.io", "multicluster.x-k8s.io", "spanway.dev"];

/// A file as it was last read.
#[derive(Debug, Default)]
pub(super) struct File {
    parts: Vec<Kept>,
    /// Its objects, in their last good state.
    pub(super) entries: BTreeMap<ObjectRef, Entry>,
    /// What is wrong with it now.
    pub(super) problems: Vec<FileProblem>,
}

/// A part of the file, and how many lines are before it.
#[derive(Debug)]
struct Kept {
    before: u32,
    text: Stored,
}

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) said: Said,
    /// The lines on which it stands once more.
    pub(super) again: Vec<u32>,
}

/// What a file says of an object: the part in which it stands, which is all that is kept, and what
/// was read from it until somebody takes it. As a tree or as a type it takes several times the
/// memory.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) text: Stored,
    read: Option<Box<Read>>,
}

/// What was read of an object.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Good(Object),
    /// What we say about an object: its status.
    Status(Value),
    Broken(Broken),
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Said {
    /// What was read; what somebody has taken already is read once more.
    pub(super) fn take(&mut self, object: &ObjectRef, role: Role) -> Option<Read> {
        let read = self.read.take().map(|read| *read);
        read.or_else(|| {
            let text = self.text.text();
            let documents = documents((0, &text), role).ok()?;
            let mut all = documents.iter().filter_map(|node| read_document(node, role).ok()?);
            all.find_map(|(reference, read)| (reference == *object).then_some(read))
        })
    }

    /// The object without a type, if it can be read.
    pub(super) fn object(&self, object: &ObjectRef, role: Role) -> Option<DynamicObject> {
        let text = self.text.text();
        let documents = documents((0, &text), role).ok()?;
        let of_kind = documents.iter().filter(|node| node.text("kind") == object.kind.label());
        let mut all = of_kind.filter_map(|node| untyped(node, (object.kind, role)).ok());
        all.find(|found| name_of(object.kind, found) == object.name)
    }
}

impl File {
    /// Takes the text that the file has now. Gives its objects of before, if it was read anew. Most
    /// objects are in the `namespace` of the one that was read last, and share its name.
    pub(super) fn take(
        &mut self,
        path: &Path,
        text: Text,
        role: Role,
        namespace: &mut Arc<str>,
    ) -> Option<BTreeMap<ObjectRef, Entry>> {
        match text {
            Text::Read(text) if self.is(&text) && self.problems.iter().all(|old| old.line > 0) => {
                None
            }
            Text::Read(text) => self.read(path, &text, role, namespace),
            Text::Failed(message) => {
                self.problems = vec![whole(path, message)];
                None
            }
            Text::Gone => {
                self.problems.clear();
                Some(mem::take(&mut self.entries))
            }
        }
    }

    /// Whether this is the text that was read last.
    fn is(&self, text: &str) -> bool {
        let mut parts = self.parts.iter();
        let rest = parts.try_fold(text, |rest, part| rest.strip_prefix(&*part.text.text()));
        rest == Some("")
    }

    /// The line of a field of an object, or of the nearest field around it.
    pub(super) fn line_of(&self, object: &ObjectRef, field: &str) -> Option<u32> {
        let entry = self.entries.get(object)?;
        let at = self.parts.partition_point(|part| part.before < entry.line).checked_sub(1)?;
        let part = self.parts.get(at)?;
        let text = part.text.text();
        let documents = Node::documents((part.before, &text)).ok()?;
        let node = documents.iter().find(|node| node.line == entry.line);
        Some(node.map_or(entry.line, |node| node.line_of(field)))
    }

    /// Gives the objects of before, if others may have taken their place.
    fn read(
        &mut self,
        path: &Path,
        text: &str,
        role: Role,
        namespace: &mut Arc<str>,
    ) -> Option<BTreeMap<ObjectRef, Entry>> {
        let kept = |(before, text): Part<'_>| Kept { before, text: Stored::new(text, role) };
        self.parts = parts(text).into_iter().map(kept).collect();
        self.problems.clear();
        if text.trim().is_empty() && !self.entries.is_empty() {
            // Who truncates a file before writing it has not finished.
            self.problems.push(whole(path, "the file is empty".to_owned()));
            return None;
        }
        let before = mem::take(&mut self.entries);
        let parts = mem::take(&mut self.parts);
        let read = parts.iter().try_fold(false, |unnamed, part| {
            let read = self.read_part((path, role), part, &before, namespace);
            read.map(|another| unnamed || another)
        });
        self.parts = parts;
        match read {
            Ok(false) => {}
            Ok(true) => {
                // It may be any of those that are missing now: all keep the state that they had.
                for (object, old) in &before {
                    self.entries.entry(object.clone()).or_insert_with(|| old.clone());
                }
            }
            Err(wrong) => {
                self.problems = vec![syntax(path, wrong)];
                self.entries = before;
                return None;
            }
        }
        Some(before)
    }

    /// Reads a part. Says whether something in it is an object that cannot be told.
    fn read_part(
        &mut self,
        (path, role): (&Path, Role),
        part: &Kept,
        before: &BTreeMap<ObjectRef, Entry>,
        namespace: &mut Arc<str>,
    ) -> Result<bool, Wrong> {
        let mut unnamed = false;
        let text = part.text.text();
        for node in documents((part.before, &text), role)? {
            match read_document(&node, role) {
                Ok(None) => {}
                Ok(Some((mut object, read))) => {
                    share(&mut object.name.namespace, namespace);
                    let said = Said { text: part.text.clone(), read: Some(read.into()) };
                    self.keep((path, &node), object, said, before);
                }
                Err(mut problem) => {
                    unnamed = true;
                    path.clone_into(&mut problem.file);
                    self.problems.push(problem);
                }
            }
        }
        Ok(unnamed)
    }

    /// Keeps an object, and of a broken one the state that it had before.
    fn keep(
        &mut self,
        (path, node): (&Path, &Node<'_>),
        object: ObjectRef,
        mut said: Said,
        before: &BTreeMap<ObjectRef, Entry>,
    ) {
        let old = before.get(&object);
        let mut is_old = old.is_some_and(|old| old.said == said);
        if let Some(Read::Broken(broken)) = said.read.as_deref() {
            self.problems.push(FileProblem {
                file: path.to_owned(),
                line: node.line_of(&broken.field),
                object: Some(object.clone()),
                field: broken.field.clone(),
                message: broken.message.clone(),
            });
            is_old = old.is_some();
        }
        // What has been taken already, nobody asks for again.
        if let Some(old) = old.filter(|_| is_old) {
            said = Said { text: old.said.text.clone(), read: None };
        }
        let entry = Entry { line: node.line, said, again: Vec::new() };
        match self.entries.entry(object) {
            btree_map::Entry::Occupied(mut first) => first.get_mut().again.push(entry.line),
            btree_map::Entry::Vacant(free) => drop(free.insert(entry)),
        }
    }
}

/// The documents of a part.
fn documents(part: Part<'_>, role: Role) -> Result<Vec<Node<'_>>, Wrong> {
    let made = if role == Role::Written { None } else { Node::made(part) };
    made.map_or_else(|| Node::documents(part), |node| Ok(vec![node]))
}

/// Lets a text that is the same as the last one share its memory.
fn share(text: &mut Arc<str>, last: &mut Arc<str>) {
    if text == last {
        *text = Arc::clone(last);
    } else {
        *last = Arc::clone(text);
    }
}

/// Reads one document; nothing where it is none of ours.
fn read_document(node: &Node<'_>, role: Role) -> Result<Option<(ObjectRef, Read)>, FileProblem> {
    if !node.is_map() {
        return Err(at(node, "", "an object has fields".to_owned()));
    }
    let (api_version, label) = (node.text("apiVersion"), node.text("kind"));
    let Some(kind) = kind(api_version, label) else {
        return unknown(node, api_version, label).map(|()| None);
    };
    if role == Role::Status {
        // What we say about an object is no whole object.
        let object = untyped(node, (kind, role))?;
        let status = node.child("status").map(Node::value).unwrap_or_default();
        return Ok(Some((ObjectRef::new(kind, name_of(kind, &object)), Read::Status(status))));
    }
    if let Some((name, object)) = typed(node, (kind, role)) {
        return Ok(Some((ObjectRef::new(kind, name), Read::Good(object))));
    }
    // Something is wrong, or not as it usually is: read field by field, which costs more, it can
    // be told what.
    let object = untyped(node, (kind, role))?;
    let name = name_of(kind, &object);
    let read = read(kind, object).map_or_else(Read::Broken, Read::Good);
    Ok(Some((ObjectRef::new(kind, name), read)))
}

/// The object as its type, if it can be read at once.
fn typed(node: &Node<'_>, (kind, role): (Kind, Role)) -> Option<(Name, Object)> {
    if node.child(STRING_DATA).is_some() {
        return None;
    }
    let mut object = Object::read(kind, node).ok()?;
    let metadata = object.metadata_mut();
    complete(metadata, (kind, role));
    let name = metadata.name.as_deref().filter(|name| !name.is_empty())?;
    Some((Name::new(metadata.namespace.as_deref().unwrap_or_default(), name), object))
}

/// The object, or the field of its metadata that is wrong. All but its metadata is as it came.
fn untyped(node: &Node<'_>, (kind, role): (Kind, Role)) -> Result<DynamicObject, FileProblem> {
    let mut fields = match node.value() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.remove("apiVersion");
    fields.remove("kind");
    let metadata = fields.remove("metadata").unwrap_or_else(|| Value::Object(Map::new()));
    let mut metadata: ObjectMeta = serde_path_to_error::deserialize(metadata).map_err(|error| {
        let field = format!("metadata.{}", error.path());
        at(node, &field, error.into_inner().to_string())
    })?;
    complete(&mut metadata, (kind, role));
    if metadata.name.as_deref().is_none_or(str::is_empty) {
        return Err(at(node, "metadata.name", "an object needs a name".to_owned()));
    }
    let mut object = DynamicObject { types: None, metadata, data: Value::Object(fields) };
    fold_string_data(kind, &mut object);
    Ok(object)
}

/// Puts in what the API server would.
fn complete(metadata: &mut ObjectMeta, (kind, role): (Kind, Role)) {
    if role == Role::Written {
        // It comes from elsewhere: what we made has the version that its writer gave it.
        metadata.resource_version = None;
    }
    metadata.namespace = kind
        .namespaced()
        .then(|| metadata.namespace.take().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
}

/// The kind that is meant; of an older version too, where it says the same.
fn kind(api_version: &str, label: &str) -> Option<Kind> {
    let current = match api_version {
        "gateway.networking.k8s.io/v1beta1" => "gateway.networking.k8s.io/v1",
        "multicluster.x-k8s.io/v1alpha1" => "multicluster.x-k8s.io/v1beta1",
        other => other,
    };
    Kind::parse(current, label)
}

/// An object of another program is none of our business, but for a kind of our own groups that we
/// do not know, or for what is no object at all.
fn unknown(node: &Node<'_>, api_version: &str, label: &str) -> Result<(), FileProblem> {
    if api_version.is_empty() || label.is_empty() {
        let field = if api_version.is_empty() { "apiVersion" } else { "kind" };
        return Err(at(node, field, "an object says its `apiVersion` and `kind`".to_owned()));
    }
    let group = api_version.split('/').next().unwrap_or_default();
    if OUR_GROUPS.contains(&group) || label == "List" {
        return Err(at(node, "kind", format!("`{label}` of `{api_version}` is not read")));
    }
    Ok(())
}

/// Does for a Secret what the API server does: `stringData` becomes `data`.
fn fold_string_data(kind: Kind, object: &mut DynamicObject) {
    if kind != Kind::Secret {
        return;
    }
    let Some(fields) = object.data.as_object_mut() else { return };
    let Some(Value::Object(strings)) = fields.remove(STRING_DATA) else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in strings {
        let bytes = value.as_str().unwrap_or_default().as_bytes().to_vec();
        let encoded = serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap_or_default();
        data.insert(key, encoded);
    }
}

fn at(node: &Node<'_>, field: &str, message: String) -> FileProblem {
    let line = node.line_of(field);
    FileProblem { line, field: field.to_owned(), ..whole(Path::new(""), message) }
}

fn whole(path: &Path, message: String) -> FileProblem {
    FileProblem { file: path.to_owned(), line: 0, object: None, field: String::new(), message }
}

fn syntax(path: &Path, wrong: Wrong) -> FileProblem {
    FileProblem { line: wrong.line, ..whole(path, wrong.message) }
}
