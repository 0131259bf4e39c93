//! Which files of a directory are read, and their text.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{OBJECTS_FOLDER, OWN_FOLDER, STATUS_FOLDER};

/// The largest file that is read: the largest object that an API server takes, a few times over.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The most files that are read of one directory: a wrong path must not cost all memory.
const MAX_FILES: usize = 20_000;
/// A file that changed so shortly before it was read may change once more without its times and
/// its size telling: clocks of file systems stand still for some milliseconds, of some for a second.
const TELLING: Duration = Duration::from_secs(2);

/// What a file is for. In this order they are read: what the user says counts before what we made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The user's objects.
    Written,
    /// Objects that we made.
    Made,
    /// What we say about objects.
    Status,
}

/// A file, and what it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) path: PathBuf,
}

impl Ord for Place {
    /// By what it is for, then by the bytes of its path: they are compared often, and part by part
    /// that costs ten times as much.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_path = || self.path.as_os_str().cmp(other.path.as_os_str());
        self.role.cmp(&other.role).then_with(by_path)
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A file that is not as it was when it was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// What it holds.
    Read(String),
    /// Why it cannot be read.
    Failed(String),
    /// It is not there any more.
    Gone,
}

/// The texts of the files that are not as they were.
pub(super) type Texts = BTreeMap<Arc<Place>, Text>;

/// What of a directory is to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// All files up to this role, whether or not they were touched.
    pub(super) all: Option<Role>,
    /// What was touched.
    pub(super) at: BTreeSet<PathBuf>,
}

impl Look {
    /// A look at all files up to this role.
    pub(super) const fn all(last: Role) -> Self {
        Self { all: Some(last), at: BTreeSet::new() }
    }

    /// The same in parts, each path one of its own.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        let at = self.at.into_iter().map(|path| Self { all: None, at: [path].into() });
        self.all.map(Self::all).into_iter().chain(at)
    }
}

/// The files of a directory.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    /// What is read at most.
    last: Role,
    known: Known,
}

/// Which version of each file was read, by what it is for: none where a later version might look
/// alike.
#[derive(Debug, Default)]
struct Known(BTreeMap<Role, BTreeMap<Arc<Place>, Option<Stamp>>>);

impl Known {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// How many there are up to this role: those that count before it leave no room to later ones.
    fn count(&self, last: Role) -> usize {
        self.0.range(..=last).map(|(_, files)| files.len()).sum()
    }

    fn insert(&mut self, key: Arc<Place>, stamp: Option<Stamp>) {
        self.0.entry(key.role).or_default().insert(key, stamp);
    }

    /// Whether it was known, and which version.
    fn remove(&mut self, key: &Place) -> (bool, Option<Stamp>) {
        let removed = self.0.get_mut(&key.role).and_then(|files| files.remove(key));
        (removed.is_some(), removed.flatten())
    }

    /// Takes all up to this role out.
    fn take(&mut self, last: Role) -> Self {
        let later = self.0.split_off(&last);
        let mut taken = mem::replace(&mut self.0, later);
        taken.extend(self.0.remove_entry(&last));
        Self(taken)
    }

    fn into_files(self) -> impl Iterator<Item = (Arc<Place>, Option<Stamp>)> {
        self.0.into_values().flatten()
    }
}

/// What tells the versions of a file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// None is read yet.
    pub(super) const fn new(root: PathBuf) -> Self {
        Self::up_to(Role::Status, root)
    }

    /// Of which none beyond this role are ever read.
    pub(super) const fn up_to(last: Role, root: PathBuf) -> Self {
        Self { root, last, known: Known::new() }
    }

    /// Whether we have said anything about objects that is to be read.
    pub(super) fn have_statuses(&self) -> bool {
        self.last == Role::Status && self.root.join(OWN_FOLDER).join(STATUS_FOLDER).is_dir()
    }

    /// Reads the files that are not as they were.
    pub(super) fn read(&mut self, look: &Look) -> Result<Texts, String> {
        let mut texts = Texts::new();
        if let Err(error) = self.look_at(look, &mut texts) {
            // What was read and is not told now is read again.
            for key in texts.into_keys() {
                self.known.insert(key, None);
            }
            return Err(format!("cannot read `{}`: {error}", self.root.display()));
        }
        Ok(texts)
    }

    fn look_at(&mut self, look: &Look, texts: &mut Texts) -> io::Result<()> {
        if let Some(last) = look.all {
            self.read_all(last, texts)?;
        }
        if !self.read_at(&look.at, texts) {
            self.read_all(Role::Status, texts)?;
        }
        Ok(())
    }

    /// Looks at the files of the directory, of the folders in it, and of our own folder, up to this
    /// role. A folder that starts with a dot is not the user's.
    fn read_all(&mut self, last: Role, texts: &mut Texts) -> io::Result<()> {
        let last = last.min(self.last);
        let before = self.known.take(last);
        let mut listing = Listing { before, known: &mut self.known, texts };
        let folders = match listing.list(&self.root, Role::Written) {
            Ok(folders) => folders,
            Err(error) => {
                for (key, stamp) in listing.before.into_files() {
                    self.known.insert(key, stamp);
                }
                return Err(error);
            }
        };
        for folder in folders {
            // A folder may go while we look: it is as if it had not been there.
            drop(listing.list(&folder, Role::Written));
        }
        let own = self.root.join(OWN_FOLDER);
        for (role, folder) in [(Role::Made, OBJECTS_FOLDER), (Role::Status, STATUS_FOLDER)] {
            if role <= last {
                drop(listing.list(&own.join(folder), role));
            }
        }
        let gone = listing.before.into_files().map(|(key, _)| (key, Text::Gone));
        texts.extend(gone);
        Ok(())
    }

    /// Looks at what has these paths. Says whether that is all: a folder, or a link such as those of
    /// a mounted `ConfigMap`, may stand for files of other paths.
    fn read_at(&mut self, paths: &BTreeSet<PathBuf>, texts: &mut Texts) -> bool {
        paths.iter().all(|path| {
            let metadata = fs::symlink_metadata(path).ok();
            let Some(role) = self.role(path) else {
                return is_passing(path, metadata.as_ref());
            };
            if role > self.last {
                return true;
            }
            let key = Arc::new(Place { role, path: path.clone() });
            let (was_known, before) = self.known.remove(&key);
            match metadata {
                Some(metadata) if metadata.is_file() && self.known.count(role) < MAX_FILES => {
                    look(key, &metadata, before, (&mut self.known, texts));
                    true
                }
                None if was_known => {
                    texts.insert(key, Text::Gone);
                    true
                }
                _ => {
                    if was_known {
                        self.known.insert(key, before);
                    }
                    false
                }
            }
        })
    }

    /// What a file of this path is for, if it is one that is read.
    fn role(&self, path: &Path) -> Option<Role> {
        let folder = path.parent()?;
        if is_hidden(path) || !is_yaml(path) {
            return None;
        }
        let own = self.root.join(OWN_FOLDER);
        let written = folder == self.root
            || !is_hidden(folder) && folder.parent().is_some_and(|parent| parent == self.root);
        let roles = [
            (written, Role::Written),
            (folder == own.join(OBJECTS_FOLDER), Role::Made),
            (folder == own.join(STATUS_FOLDER), Role::Status),
        ];
        roles.into_iter().find_map(|(is, role)| is.then_some(role))
    }
}

/// The files of folders that are looked at one after the other.
struct Listing<'f> {
    /// Those that were not found again yet.
    before: Known,
    known: &'f mut Known,
    texts: &'f mut Texts,
}

impl Listing<'_> {
    /// Looks at the files of one folder and gives the folders in it.
    fn list(&mut self, folder: &Path, role: Role) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // Links are followed: the files of a mounted ConfigMap are links.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if is_hidden(&path) || self.known.count(role) >= MAX_FILES {
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if is_yaml(&path) {
                let key = Arc::new(Place { role, path });
                let (_, before) = self.before.remove(&key);
                look(key, &metadata, before, (self.known, self.texts));
            }
        }
        Ok(folders)
    }
}

/// Reads a file unless it is as it was `before`, and knows it from then on.
fn look(
    key: Arc<Place>,
    metadata: &Metadata,
    before: Option<Stamp>,
    (known, texts): (&mut Known, &mut Texts),
) {
    let stamp = Stamp::of(metadata);
    if before == Some(stamp) {
        known.insert(key, before);
        return;
    }
    let read = match text(&key.path) {
        Ok(text) => Text::Read(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Text::Gone,
        Err(error) => Text::Failed(error.to_string()),
    };
    if read != Text::Gone {
        let tells = matches!(read, Text::Read(_)) && stamp.tells(SystemTime::now());
        known.insert(Arc::clone(&key), tells.then_some(stamp));
    }
    texts.insert(key, read);
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml")
}

/// Whether what has this path, and is not read, says nothing about what is: a file under another
/// name, such as one that will be renamed once it is whole. Anything else may be a folder or a link,
/// or may have been; of a mounted `ConfigMap` their names begin with two dots.
fn is_passing(path: &Path, metadata: Option<&Metadata>) -> bool {
    let of_config_map = |name: &OsStr| name.as_encoded_bytes().starts_with(b"..");
    let Some(name) = path.file_name().filter(|name| !of_config_map(name)) else { return false };
    match metadata {
        Some(metadata) => metadata.is_file() && (is_hidden(path) || !is_yaml(path)),
        None => is_hidden(path) && name != OWN_FOLDER,
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a version that comes after `now` is certain to have another stamp.
    fn tells(&self, now: SystemTime) -> bool {
        let seconds = self.changed.0.max(self.modified.0);
        let Ok(seconds) = u64::try_from(seconds) else { return false };
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // Whoever lives in the future has another clock.
        now.duration_since(changed).is_ok_and(|age| age > TELLING)
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        let message = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
