//! Which files of a directory are read, and their text.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{OBJECTS_FOLDER, OWN_FOLDER, STATUS_FOLDER};

/// The largest file that is read: the largest object that an API server takes, a few times over.
const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// The most files that are read of one directory: a wrong path must not cost all memory.
const MAX_FILES: usize = 20_000;

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

/// The texts of the files, or why one has none.
pub(super) type Texts = BTreeMap<Arc<(Role, PathBuf)>, Result<String, String>>;

/// Reads the files of a directory, of the folders in it, and of our own folder.
/// A folder that starts with a dot is not the user's.
pub(super) fn read(directory: &Path) -> Result<Texts, String> {
    let mut texts = Texts::new();
    let folders = list(directory, Role::Written, &mut texts)
        .map_err(|error| format!("cannot read `{}`: {error}", directory.display()))?;
    for folder in folders {
        // A folder may go while we look: it is as if it had not been there.
        drop(list(&folder, Role::Written, &mut texts));
    }
    let own = directory.join(OWN_FOLDER);
    drop(list(&own.join(OBJECTS_FOLDER), Role::Made, &mut texts));
    drop(list(&own.join(STATUS_FOLDER), Role::Status, &mut texts));
    Ok(texts)
}

/// Reads the files of one folder and gives the folders in it.
fn list(folder: &Path, role: Role, texts: &mut Texts) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        // Links are followed: the files of a mounted ConfigMap are links.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if hidden || texts.len() >= MAX_FILES {
            continue;
        }
        if metadata.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            match text(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => {
                    texts.insert(Arc::new((role, path)), read.map_err(|error| error.to_string()));
                }
            }
        }
    }
    Ok(folders)
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
