//! The objects of all files together, and what the API server would add to them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::FileProblem;
use super::file::{Entry, File, Read};
use super::files::{Place, Role, Text, Texts};
use super::stored::Stored;
use crate::model::{Kind, Name, ObjectRef};
use crate::resources::{Broken, Object, Resources, Slices, version_of};

/// The label by which a namespace is selected by its name; the API server sets it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// A file, in the order in which they count.
type FileKey = Arc<Place>;

/// Everything that a directory says.
#[derive(Debug)]
pub(super) struct World {
    files: BTreeMap<FileKey, File>,
    /// The files with which something is wrong.
    wrong: BTreeSet<FileKey>,
    /// The namespace of the object that was read last.
    namespace: Arc<str>,
    subjects: BTreeMap<ObjectRef, Subject>,
    /// The objects of which a file says something else than when they were taken in, each once.
    unsettled: Vec<ObjectRef>,
    /// How many objects are in each namespace.
    inhabitants: BTreeMap<Arc<str>, usize>,
    version: u64,
    twice: BTreeMap<ObjectRef, Vec<FileProblem>>,
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

/// An object of which files speak, or did.
#[derive(Debug, Default)]
struct Subject {
    /// Which files speak of it, in their order.
    speakers: Vec<FileKey>,
    known: Option<Known>,
    /// Whether it is among those that are not settled.
    unsettled: bool,
}

impl Subject {
    /// Notes that a file says something else of it.
    fn unsettle(&mut self, object: &ObjectRef, unsettled: &mut Vec<ObjectRef>) {
        if !mem::replace(&mut self.unsettled, true) {
            unsettled.push(object.clone());
        }
    }
}

/// An object as it was last taken in.
#[derive(Debug)]
struct Known {
    said: Stored,
    status: Option<Stored>,
    generation: i64,
    created: Timestamp,
}

/// An object as the files have it now, and in which of them.
#[derive(Debug, Default)]
struct Wanted {
    said: Stored,
    /// Nowhere: a namespace that nobody wrote.
    file: Option<FileKey>,
    status: Option<(Stored, FileKey)>,
}

impl World {
    /// Nothing yet. Versions start at the time, so that they go on rising after a restart.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            files: BTreeMap::new(),
            wrong: BTreeSet::new(),
            namespace: Arc::default(),
            subjects: BTreeMap::new(),
            unsettled: Vec::new(),
            inhabitants: BTreeMap::new(),
            version: u64::try_from(now.as_microsecond()).unwrap_or_default(),
            twice: BTreeMap::new(),
            unreadable: None,
            resources: Resources::default(),
            slices: Slices::default(),
        }
    }

    /// Reads the files that have changed. A directory that cannot be read changes nothing.
    pub(super) fn read(&mut self, texts: Result<Texts, String>) {
        let texts = match texts {
            Ok(texts) => texts,
            Err(reason) => return self.unreadable = Some(reason),
        };
        self.unreadable = None;
        for (key, text) in texts {
            let is_gone = text == Text::Gone;
            let file = self.files.entry(Arc::clone(&key)).or_default();
            let before = file.take(&key.path, text, key.role, &mut self.namespace);
            if file.problems.is_empty() {
                self.wrong.remove(&key);
            } else {
                self.wrong.insert(Arc::clone(&key));
            }
            if is_gone {
                self.files.remove(&key);
            }
            if let Some(before) = before {
                self.compare(&key, before);
            }
        }
    }

    /// Notes of which objects a file says something else than before.
    fn compare(&mut self, key: &FileKey, before: BTreeMap<ObjectRef, Entry>) {
        let none = File::default();
        let now = &self.files.get(key).unwrap_or(&none).entries;
        for (object, entry) in now {
            let old = before.get(object);
            if old == Some(entry) {
                continue;
            }
            let subject = self.subjects.entry(object.clone()).or_default();
            if old.is_none() {
                // Most objects stand in one file.
                subject.speakers.reserve_exact(1);
                let at = subject.speakers.partition_point(|other| other < key);
                subject.speakers.insert(at, Arc::clone(key));
            }
            subject.unsettle(object, &mut self.unsettled);
        }
        for object in before.into_keys().filter(|object| !now.contains_key(object)) {
            let subject = self.subjects.entry(object.clone()).or_default();
            subject.speakers.retain(|other| other != key);
            subject.unsettle(&object, &mut self.unsettled);
        }
    }

    /// What is wrong with the files.
    pub(super) fn problems(&self) -> Vec<FileProblem> {
        let wrong = self.wrong.iter().filter_map(|key| self.files.get(key));
        let mut problems: Vec<_> = wrong.flat_map(|file| file.problems.iter().cloned()).collect();
        problems.extend(self.twice.values().flatten().cloned());
        problems.sort();
        problems
    }

    /// The file and the line on which a field of an object stands.
    pub(super) fn place(&self, object: &ObjectRef, field: &str) -> Option<(&Path, u32)> {
        let mut speakers =
            self.subjects.get(object)?.speakers.iter().filter(|key| key.role != Role::Status);
        speakers.find_map(|key| {
            Some((key.path.as_path(), self.files.get(key)?.line_of(object, field)?))
        })
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
        let mut changed = Changed::default();
        let unsettled = mem::take(&mut self.unsettled);
        let mut namespaces = BTreeSet::new();
        for object in unsettled {
            if object.kind == Kind::Namespace {
                namespaces.insert(object.name.name);
                continue;
            }
            changed.note(self.settle_one(&object, now), object.kind);
            if object.kind.namespaced() {
                namespaces.insert(object.name.namespace);
            }
        }
        // Last, as they exist for as long as anything is in them.
        for name in namespaces {
            let name = Name { namespace: "".into(), name };
            let object = ObjectRef::new(Kind::Namespace, name);
            changed.note(self.settle_one(&object, now), Kind::Namespace);
        }
        changed
    }

    /// Brings one object into line with the files. Gives whether it changed.
    ///
    /// Its subject is taken out meanwhile: to find it among all is much of the work.
    fn settle_one(&mut self, object: &ObjectRef, now: Timestamp) -> bool {
        let mut subject = mem::take(self.subjects.entry(object.clone()).or_default());
        subject.unsettled = false;
        let changed = self.settle_subject(object, &mut subject, now);
        if subject.known.is_none() && subject.speakers.is_empty() {
            self.subjects.remove(object);
        } else if let Some(place) = self.subjects.get_mut(object) {
            *place = subject;
        }
        changed
    }

    fn settle_subject(
        &mut self,
        object: &ObjectRef,
        subject: &mut Subject,
        now: Timestamp,
    ) -> bool {
        let (wanted, twice) = self.wanted(object, &subject.speakers);
        if twice.is_empty() {
            self.twice.remove(object);
        } else {
            self.twice.insert(object.clone(), twice);
        }
        let Some(wanted) = wanted else {
            let was_known = subject.known.take().is_some();
            if was_known {
                self.count(object, |all| *all -= 1);
                self.remove(object);
            }
            return was_known;
        };
        if subject.known.is_none() {
            self.count(object, |all| *all += 1);
        }
        self.put(object, wanted, &mut subject.known, now)
    }

    fn count(&mut self, object: &ObjectRef, change: impl FnOnce(&mut usize)) {
        if object.kind.namespaced() {
            let namespace = Arc::clone(&object.name.namespace);
            change(self.inhabitants.entry(namespace).or_default());
        }
    }

    /// Puts together what the files say of an object. One that stands in two files counts as the
    /// first says; what we made gives way to what the user wrote without a word.
    fn wanted(
        &self,
        object: &ObjectRef,
        speakers: &[FileKey],
    ) -> (Option<Wanted>, Vec<FileProblem>) {
        let mut wanted: Option<Wanted> = None;
        let mut first: Option<(&Path, u32)> = None;
        let mut twice = Vec::new();
        for key in speakers {
            let Place { role, path } = &**key;
            let Some(entry) = self.files.get(key).and_then(|file| file.entries.get(object)) else {
                continue;
            };
            let said = entry.said.text.clone();
            if *role == Role::Status {
                if let Some(wanted) = &mut wanted {
                    wanted.status = Some((said, Arc::clone(key)));
                }
                continue;
            }
            let mut lines = std::iter::once(&entry.line).chain(&entry.again);
            if first.is_none() {
                first = lines.next().map(|line| (path.as_path(), *line));
                wanted = Some(Wanted { said, file: Some(Arc::clone(key)), status: None });
            }
            if let (Role::Written, Some(first)) = (role, first) {
                twice.extend(lines.map(|line| duplicate((path, *line), object, first)));
            }
        }
        if object.kind == Kind::Namespace {
            let lived_in = self.inhabitants.get(&object.name.name).is_some_and(|all| *all > 0);
            wanted = wanted.or_else(|| lived_in.then(Wanted::default));
        }
        (wanted, twice)
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
    fn put(
        &mut self,
        object: &ObjectRef,
        wanted: Wanted,
        known: &mut Option<Known>,
        now: Timestamp,
    ) -> bool {
        let old = known.as_ref();
        let same = old.is_some_and(|old| old.said == wanted.said);
        let status = wanted.status.as_ref().map(|(said, _)| said.clone());
        if same && old.is_some_and(|old| old.status == status) {
            return false;
        }
        let (generation, created) = old.map_or((0, now), |old| (old.generation, old.created));
        // What is new stands nowhere yet.
        let standing = old.and_then(|_| self.standing(object));
        let read = match standing.clone().filter(|_| same && status.is_some()) {
            Some(mut standing) => {
                if wanted.file.as_ref().is_some_and(|file| file.role == Role::Written) {
                    standing.metadata_mut().resource_version = None;
                }
                Some(Read::Good(standing))
            }
            None => self.read_from(wanted.file.as_ref(), object),
        };
        let said_like = match (&standing, &read) {
            (Some(old), Some(Read::Good(new))) => same || old.says_like(new),
            _ => same,
        };
        let generation = generation + i64::from(!said_like);
        let told = match &read {
            Some(Read::Good(object)) if !same => version_of(object.metadata()),
            _ => 0,
        };
        self.version = (self.version + 1).max(told);
        let stamp = Stamp { uid: uid(object), generation, created, version: self.version };
        match read {
            Some(Read::Good(mut good)) => {
                stamp.on(object, &mut good);
                let status =
                    wanted.status.and_then(|(_, file)| self.read_from(Some(&file), object));
                if let Some(Read::Status(status)) = status {
                    good.set_status(&status);
                }
                self.take_in(object, good);
            }
            Some(Read::Broken(broken)) => self.break_off(object, &stamp, broken),
            Some(Read::Status(_)) | None => {}
        }
        *known = Some(Known { said: wanted.said, status, generation, created });
        true
    }

    /// The object as it was taken in last, if it could be read.
    fn standing(&self, object: &ObjectRef) -> Option<Object> {
        if object.kind == Kind::EndpointSlice {
            return self.slices.get(&object.name).cloned().map(Object::EndpointSlice);
        }
        self.resources.get(object)
    }

    /// What a file says of an object; a namespace that is in no file is there all the same.
    fn read_from(&mut self, file: Option<&FileKey>, object: &ObjectRef) -> Option<Read> {
        let Some(key) = file else {
            return Some(Read::Good(Object::Namespace(Arc::default())));
        };
        self.files.get_mut(key)?.entries.get_mut(object)?.said.take(object, key.role)
    }

    fn take_in(&mut self, reference: &ObjectRef, object: Object) {
        match object {
            Object::EndpointSlice(slice) => self.slices.put(&reference.name, slice),
            object => self.resources.put(reference, object),
        }
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
    fn note(&mut self, changed: bool, kind: Kind) {
        if kind == Kind::EndpointSlice {
            self.slices |= changed;
        } else {
            self.resources |= changed;
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
    fn on(&self, reference: &ObjectRef, object: &mut Object) {
        let metadata = object.metadata_mut();
        metadata.uid.get_or_insert_with(|| self.uid.clone());
        metadata.generation = Some(self.generation);
        metadata.creation_timestamp.get_or_insert(Time(self.created));
        metadata.resource_version.get_or_insert_with(|| self.version.to_string());
        metadata.managed_fields = None;
        if reference.kind == Kind::Namespace {
            // A namespace can be selected by its name.
            let name = reference.name.name.to_string();
            let labels = metadata.labels.get_or_insert_default();
            labels.insert(NAMESPACE_NAME.to_owned(), name.clone());
            metadata.name.get_or_insert(name);
        }
    }
}

fn duplicate(
    (path, line): (&Path, u32),
    object: &ObjectRef,
    (first, first_line): (&Path, u32),
) -> FileProblem {
    FileProblem {
        file: path.to_owned(),
        line,
        object: Some(object.clone()),
        field: String::new(),
        message: format!("it stands in `{}` on line {first_line} already", first.display()),
    }
}

/// A UID that an object keeps over restarts: a hash (FNV-1a, 128 bits) of what it is called.
pub(crate) fn uid(object: &ObjectRef) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let Name { namespace, name } = &object.name;
    let path = if namespace.is_empty() { [" ", "", ""] } else { [" ", &**namespace, "/"] };
    let text = [object.kind.label()].into_iter().chain(path).chain([&**name]);
    let bytes = text.flat_map(str::bytes);
    let hash = bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    let mut uid = String::with_capacity(36);
    for (at, byte) in hash.to_be_bytes().into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            uid.push('-');
        }
        let halves = [byte >> 4, byte & 0xf];
        uid.extend(halves.into_iter().filter_map(|half| char::from_digit(half.into(), 16)));
    }
    uid
}
