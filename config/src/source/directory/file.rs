//! One file: its text, and the last good state of its objects.

use std::collections::{BTreeMap, btree_map};
use std::path::Path;
use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::{Map, Value};

use super::super::FileProblem;
use super::document::Node;
use super::files::{Role, Text};
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Broken, check};

/// The namespace of an object that names none.
const DEFAULT_NAMESPACE: &str = "default";
/// The API groups of which we read most kinds: an unknown kind of them is worth a word.
const OUR_GROUPS: [&str; 3] = ["gateway.networking.k8s.io", "multicluster.x-k8s.io", "spanway.dev"];

/// A file as it was last read.
#[derive(Debug, Default)]
pub(super) struct File {
    text: String,
    /// Its objects, in their last good state.
    pub(super) entries: BTreeMap<ObjectRef, Entry>,
    /// What is wrong with it now.
    pub(super) problems: Vec<FileProblem>,
}

/// One object of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) content: Content,
    /// The lines on which it stands once more.
    pub(super) again: Vec<u32>,
}

/// What an object says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Good(Good),
    /// It never was in a good state.
    Broken(Arc<Broken>),
}

/// An object that can be read, as JSON: as a tree of maps it takes ten times the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Good {
    metadata: Arc<str>,
    data: Arc<str>,
}

impl Good {
    pub(super) fn new(object: &DynamicObject) -> Self {
        // Both were read from JSON: they can be written as JSON again.
        let metadata = serde_json::to_string(&object.metadata).unwrap_or_default();
        Self { metadata: metadata.into(), data: object.data.to_string().into() }
    }

    /// The object again.
    pub(super) fn object(&self) -> DynamicObject {
        DynamicObject {
            types: None,
            metadata: serde_json::from_str(&self.metadata).unwrap_or_default(),
            data: serde_json::from_str(&self.data).unwrap_or_default(),
        }
    }

    /// Whether both ask for the same: metadata aside.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Content {
    /// The object, if it can be read.
    pub(super) fn good(&self) -> Option<DynamicObject> {
        match self {
            Self::Good(good) => Some(good.object()),
            Self::Broken(_) => None,
        }
    }
}

impl File {
    /// Takes the text that the file has now. Gives its objects of before, if it was read anew.
    pub(super) fn take(
        &mut self,
        path: &Path,
        text: Text,
        role: Role,
    ) -> Option<BTreeMap<ObjectRef, Entry>> {
        match text {
            Text::Same => None,
            Text::Read(text)
                if text == self.text && self.problems.iter().all(|old| old.line > 0) =>
            {
                None
            }
            Text::Read(text) => {
                let before = self.entries.clone();
                self.read(path, &text, role);
                self.text = text;
                Some(before)
            }
            Text::Failed(message) => {
                self.problems = vec![whole(path, message)];
                None
            }
        }
    }

    /// The line of a field of an object, or of the nearest field around it.
    pub(super) fn line_of(&self, object: &ObjectRef, field: &str) -> Option<u32> {
        let entry = self.entries.get(object)?;
        let documents = Node::documents(&self.text).ok()?;
        let node = documents.iter().find(|node| node.line == entry.line);
        Some(node.map_or(entry.line, |node| node.line_of(field)))
    }

    fn read(&mut self, path: &Path, text: &str, role: Role) {
        self.problems.clear();
        if text.trim().is_empty() && !self.entries.is_empty() {
            // Who truncates a file before writing it has not finished.
            self.problems.push(whole(path, "the file is empty".to_owned()));
            return;
        }
        let made = if role == Role::Written { None } else { Node::made(text) };
        let documents = match made.map_or_else(|| Node::documents(text), |node| Ok(vec![node])) {
            Ok(documents) => documents,
            Err(error) => {
                self.problems.push(syntax(path, &error));
                return;
            }
        };
        let before = std::mem::take(&mut self.entries);
        let mut unnamed = false;
        for node in &documents {
            match entry(node, role) {
                Ok(None) => {}
                Ok(Some((object, entry))) => self.keep((path, node), object, entry, &before),
                Err(mut problem) => {
                    unnamed = true;
                    path.clone_into(&mut problem.file);
                    self.problems.push(problem);
                }
            }
        }
        if unnamed {
            // It may be any of those that are missing now: all keep the state that they had.
            for (object, old) in before {
                self.entries.entry(object).or_insert(old);
            }
        }
    }

    /// Keeps an object, and of a broken one the state that it had before.
    fn keep(
        &mut self,
        (path, node): (&Path, &Node),
        object: ObjectRef,
        mut entry: Entry,
        before: &BTreeMap<ObjectRef, Entry>,
    ) {
        if let Content::Broken(broken) = &entry.content {
            self.problems.push(FileProblem {
                file: path.to_owned(),
                line: node.line_of(&broken.field),
                object: Some(object.clone()),
                field: broken.field.clone(),
                message: broken.message.clone(),
            });
            if let Some(old) = before.get(&object) {
                entry.content = old.content.clone();
            }
        }
        match self.entries.entry(object) {
            btree_map::Entry::Occupied(mut first) => first.get_mut().again.push(entry.line),
            btree_map::Entry::Vacant(free) => drop(free.insert(entry)),
        }
    }
}

/// Reads one document; nothing where it is none of ours.
fn entry(node: &Node, role: Role) -> Result<Option<(ObjectRef, Entry)>, FileProblem> {
    let Value::Object(fields) = node.value() else {
        return Err(at(node, "", "an object has fields".to_owned()));
    };
    let (api_version, label) = (text(&fields, "apiVersion"), text(&fields, "kind"));
    let Some(kind) = kind(api_version, label) else {
        return unknown(node, api_version, label);
    };
    let mut object = object(fields).map_err(|(field, message)| at(node, &field, message))?;
    let metadata = &mut object.metadata;
    if role == Role::Written {
        // It comes from elsewhere: what we made has the version that its writer gave it.
        metadata.resource_version = None;
    }
    let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else {
        return Err(at(node, "metadata.name", "an object needs a name".to_owned()));
    };
    metadata.namespace = kind
        .namespaced()
        .then(|| metadata.namespace.clone().unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    let name = Name::new(metadata.namespace.as_deref().unwrap_or_default(), &name);
    fold_string_data(kind, &mut object);
    let good = Good::new(&object);
    let content = match check(kind, object) {
        // What we say about an object is no whole object.
        Err(broken) if role != Role::Status => Content::Broken(Arc::new(broken)),
        _ => Content::Good(good),
    };
    let entry = Entry { line: node.line, content, again: Vec::new() };
    Ok(Some((ObjectRef::new(kind, name), entry)))
}

/// The object with these fields, or the one that is wrong. All but its metadata is as it came.
fn object(mut fields: Map<String, Value>) -> Result<DynamicObject, (String, String)> {
    fields.remove("apiVersion");
    fields.remove("kind");
    let metadata = fields.remove("metadata").unwrap_or_else(|| Value::Object(Map::new()));
    let metadata = serde_path_to_error::deserialize(metadata).map_err(|error| {
        let field = format!("metadata.{}", error.path());
        (field, error.into_inner().to_string())
    })?;
    Ok(DynamicObject { types: None, metadata, data: Value::Object(fields) })
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
fn unknown(
    node: &Node,
    api_version: &str,
    label: &str,
) -> Result<Option<(ObjectRef, Entry)>, FileProblem> {
    if api_version.is_empty() || label.is_empty() {
        let field = if api_version.is_empty() { "apiVersion" } else { "kind" };
        return Err(at(node, field, "an object says its `apiVersion` and `kind`".to_owned()));
    }
    let group = api_version.split('/').next().unwrap_or_default();
    if OUR_GROUPS.contains(&group) || label == "List" {
        return Err(at(node, "kind", format!("`{label}` of `{api_version}` is not read")));
    }
    Ok(None)
}

/// Does for a Secret what the API server does: `stringData` becomes `data`.
fn fold_string_data(kind: Kind, object: &mut DynamicObject) {
    if kind != Kind::Secret {
        return;
    }
    let Some(fields) = object.data.as_object_mut() else { return };
    let Some(Value::Object(strings)) = fields.remove("stringData") else { return };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Some(data) = data.as_object_mut() else { return };
    for (key, value) in strings {
        let bytes = value.as_str().unwrap_or_default().as_bytes().to_vec();
        let encoded = serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap_or_default();
        data.insert(key, encoded);
    }
}

fn text<'f>(fields: &'f Map<String, Value>, key: &str) -> &'f str {
    fields.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn at(node: &Node, field: &str, message: String) -> FileProblem {
    let line = node.line_of(field);
    FileProblem { line, field: field.to_owned(), ..whole(Path::new(""), message) }
}

fn whole(path: &Path, message: String) -> FileProblem {
    FileProblem { file: path.to_owned(), line: 0, object: None, field: String::new(), message }
}

fn syntax(path: &Path, error: &serde_saphyr::Error) -> FileProblem {
    let location = error.location();
    let line = location.and_then(|location| u32::try_from(location.line()).ok());
    let message = error.without_snippet().to_string();
    FileProblem { line: line.unwrap_or(1), ..whole(path, message) }
}
