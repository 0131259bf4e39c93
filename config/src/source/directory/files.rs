//! Which files of a directory are read, and their text.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
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

/// A file that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// It is as it was when it was read last.
    Same,
    /// What it holds.
    Read(String),
    /// Why it cannot be read.
    Failed(String),
}

/// The texts of the files.
pub(super) type Texts = BTreeMap<Arc<Place>, Text>;

/// The files of a directory, and which version of each was read.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    seen: BTreeMap<Arc<Place>, Stamp>,
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
        Self { root, seen: BTreeMap::new() }
    }

    /// Whether we have said anything about objects.
    pub(super) fn have_statuses(&self) -> bool {
        self.root.join(OWN_FOLDER).join(STATUS_FOLDER).is_dir()
    }

    /// Looks at the files of the directory, of the folders in it, and of our own folder, and reads
    /// those that changed, up to this role. A folder that starts with a dot is not the user's.
    pub(super) fn read(&mut self, last: Role) -> Result<Texts, String> {
        let mut texts = Texts::new();
        let root = self.root.clone();
        let folders = self
            .list(&root, Role::Written, &mut texts)
            .map_err(|error| format!("cannot read `{}`: {error}", root.display()))?;
        for folder in folders {
            // A folder may go while we look: it is as if it had not been there.
            drop(self.list(&folder, Role::Written, &mut texts));
        }
        let own = root.join(OWN_FOLDER);
        for (role, folder) in [(Role::Made, OBJECTS_FOLDER), (Role::Status, STATUS_FOLDER)] {
            if role <= last {
                drop(self.list(&own.join(folder), role, &mut texts));
            }
        }
        self.seen.retain(|key, _| texts.contains_key(key));
        Ok(texts)
    }

    /// Looks at the files of one folder and gives the folders in it.
    fn list(&mut self, folder: &Path, role: Role, texts: &mut Texts) -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let hidden =
                path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            // Links are followed: the files of a mounted ConfigMap are links.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if hidden || texts.len() >= MAX_FILES {
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                self.look(Arc::new(Place { role, path }), &metadata, texts);
            }
        }
        Ok(folders)
    }

    fn look(&mut self, key: Arc<Place>, metadata: &Metadata, texts: &mut Texts) {
        let stamp = Stamp::of(metadata);
        if self.seen.get(&key) == Some(&stamp) {
            texts.insert(key, Text::Same);
            return;
        }
        self.seen.remove(&key);
        let read = match text(&key.path) {
            Ok(text) => Text::Read(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Text::Failed(error.to_string()),
        };
        if matches!(read, Text::Read(_)) && stamp.tells(SystemTime::now()) {
            self.seen.insert(Arc::clone(&key), stamp);
        }
        texts.insert(key, read);
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
mod tests {
    use super::*;

    /// A directory with one file that says `text` and changed `age` ago.
    fn directory(text: &str, age: Duration) -> (tempfile::TempDir, PathBuf, Files) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, text).unwrap();
        age_by(&path, age);
        let files = Files::new(folder.path().to_owned());
        (folder, path, files)
    }

    fn age_by(path: &Path, age: Duration) {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn read(files: &mut Files) -> Text {
        files.read(Role::Status).unwrap().into_values().next().unwrap()
    }

    #[test]
    fn a_file_that_has_just_changed_is_read_again() {
        let (_folder, path, mut files) = directory("one", Duration::ZERO);
        assert_eq!(read(&mut files), Text::Read("one".to_owned()));
        fs::write(&path, "two").unwrap();
        assert_eq!(read(&mut files), Text::Read("two".to_owned()));
        assert_eq!(read(&mut files), Text::Read("two".to_owned()), "it may change unseen");
    }

    #[test]
    fn a_stamp_tells_when_it_is_old_enough() {
        let (_folder, path, _files) = directory("one", Duration::from_mins(1));
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let now = SystemTime::now();
        assert!(!stamp.tells(now), "its content is old, and was put there just now");
        assert!(stamp.tells(now + 2 * TELLING));
        assert!(!stamp.tells(now - 2 * TELLING), "the clock of the file system goes before ours");
    }

    #[test]
    fn a_file_that_is_as_it_was_is_not_read_again() {
        let (_folder, path, mut files) = directory("one", Duration::ZERO);
        let key = Arc::new(Place { role: Role::Written, path: path.clone() });
        files.seen.insert(key, Stamp::of(&fs::metadata(&path).unwrap()));
        assert_eq!(read(&mut files), Text::Same);
        fs::write(&path, "longer").unwrap();
        assert_eq!(read(&mut files), Text::Read("longer".to_owned()));
    }

    #[test]
    fn a_file_that_takes_the_place_of_another_is_read() {
        let (folder, path, mut files) = directory("one", Duration::ZERO);
        let key = Arc::new(Place { role: Role::Written, path: path.clone() });
        files.seen.insert(key, Stamp::of(&fs::metadata(&path).unwrap()));
        let other = folder.path().join("b");
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(read(&mut files), Text::Read("two".to_owned()));
    }
}
