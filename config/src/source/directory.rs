//! A directory of YAML files as the source, for `spanway up` and for those without Kubernetes.
//!
//! What the API server would do for an object is done here: it gets a UID, a generation, a version
//! and a creation time, and its namespace exists. A file that cannot be read, half-written or
//! broken, keeps the last good state of its objects, and a problem says where the error is.

mod document;
mod file;
mod files;
mod notices;
mod stored;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use jiff::Timestamp;
use kube::core::DynamicObject;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::files::{Files, Look, Place, Role, Text};
use self::notices::Notices;
use self::world::World;
pub(crate) use self::world::uid;
use super::{FileProblem, KindState, Publisher, SourceState, Watched};
use crate::model::{Kind, ObjectRef};
use crate::resources::{Resources, Slices};

/// The folder of a directory that Spanway writes into.
pub(crate) const OWN_FOLDER: &str = ".spanway";
/// The folder of the objects that Spanway makes, in its own folder.
pub(crate) const OBJECTS_FOLDER: &str = "objects";
/// The folder of what Spanway says about objects, in its own folder.
pub(crate) const STATUS_FOLDER: &str = "status";

/// How long after what objects ask for their statuses are read at the start: until then those who
/// follow have much to do, and nobody waits for a status.
const STATUSES_LATER: Duration = Duration::from_millis(100);
/// The pause between two touched files that are read. Linux lets a thread run for milliseconds
/// before another has its turn on the same core, and that may be one on which requests wait.
const GIVE_WAY: Duration = Duration::from_micros(10);

/// A directory that cannot be used as a source.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is absent, not a directory, or not ours to read.
    #[error("cannot read directory `{}`", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a directory held when it was read once.
#[derive(Debug)]
pub struct Contents {
    /// All objects but slices.
    pub resources: Resources,
    /// The slices.
    pub slices: Slices,
    /// What is wrong with the files.
    pub problems: Vec<FileProblem>,
    files: Files,
    world: World,
}

/// A directory that is watched while `run` runs.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    last: Role,
    world: World,
    publisher: Publisher,
}

/// Reads a directory once, without watching it.
pub fn read_once(path: &Path) -> Result<Contents, OpenError> {
    readable(path)?;
    let mut contents = Contents {
        resources: Resources::default(),
        slices: Slices::default(),
        problems: Vec::new(),
        files: Files::new(path.to_owned()),
        world: World::new(Timestamp::now()),
    };
    contents.read_again();
    contents.settle();
    Ok(contents)
}

impl Contents {
    /// Reads the files that have changed since. Nothing follows from them before `settle`.
    pub fn read_again(&mut self) {
        self.world.read(self.files.read(&Look::all(Role::Status)));
    }

    /// Brings the objects into line with the files that were read.
    pub fn settle(&mut self) {
        self.world.settle(Timestamp::now());
        self.resources = self.world.resources.clone();
        self.slices = self.world.slices.clone();
        self.problems = self.world.problems();
    }

    /// The file and the line on which a field of an object stands, or the nearest around it.
    pub fn place(&self, object: &ObjectRef, field: &str) -> Option<(&Path, u32)> {
        self.world.place(object, field)
    }
}

/// The object of that name as it stands in the user's files now.
pub(crate) fn find(path: &Path, object: &ObjectRef) -> io::Result<Option<DynamicObject>> {
    let texts =
        Files::new(path.to_owned()).read(&Look::all(Role::Written)).map_err(io::Error::other)?;
    for (key, text) in texts {
        if !may_name(&text, &object.name.name) {
            continue;
        }
        let Place { role, path } = &*key;
        let mut file = file::File::default();
        file.take(path, text, *role, &mut Arc::default());
        if let Some(entry) = file.entries.remove(object) {
            return Ok(entry.said.object(object, *role));
        }
    }
    Ok(None)
}

/// Whether a file may speak of an object of that name: then the name stands in it as it is, unless
/// something in it is escaped. To look for it takes next to nothing beside reading YAML.
fn may_name(text: &Text, name: &str) -> bool {
    match text {
        Text::Read(text) => text.contains(name) || text.contains('\\'),
        Text::Failed(_) | Text::Gone => false,
    }
}

impl Directory {
    /// Prepares to watch a directory, which must exist.
    pub fn open(path: &Path) -> Result<(Self, Watched), OpenError> {
        readable(path)?;
        let (publisher, watched) = Publisher::new();
        let world = World::new(Timestamp::now());
        Ok((Self { path: path.to_owned(), last: Role::Status, world, publisher }, watched))
    }

    /// Leaves out what is said about objects: who only reads them has no use for it.
    #[must_use]
    pub const fn without_statuses(mut self) -> Self {
        self.last = Role::Made;
        self
    }

    /// Reads the directory, and reads it again whenever it changes, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { path, last, mut world, publisher } = self;
        let mut notices = Notices::of(&path);
        let mut files = Files::up_to(last, path);
        let mut last = if files.have_statuses() { Role::Made } else { Role::Status };
        let mut look = Look::all(last);
        loop {
            let read = tokio::task::spawn_blocking(move || {
                for part in look.parts() {
                    world.read(files.read(&part));
                    if world.unreadable().is_some() {
                        break;
                    }
                    std::thread::sleep(GIVE_WAY);
                }
                let changed = world.settle(Timestamp::now());
                (files, world, changed)
            });
            // It ends in an error only where the run time itself is shutting down.
            let Ok((read_from, next, changed)) = read.await else { return };
            (files, world) = (read_from, next);
            publish(&publisher, &world, changed, last);
            let next = async {
                if mem::replace(&mut last, Role::Status) == Role::Status {
                    return notices.settled().await;
                }
                sleep(STATUSES_LATER).await;
                Look::all(Role::Status)
            };
            look = tokio::select! {
                () = shutdown.cancelled() => return,
                look = next => look,
            };
            if world.unreadable().is_some() {
                look = Look::all(Role::Status);
            }
        }
    }
}

fn readable(path: &Path) -> Result<(), OpenError> {
    std::fs::read_dir(path)
        .map(drop)
        .map_err(|source| OpenError::Unreadable { path: path.to_owned(), source })
}

fn publish(publisher: &Publisher, world: &World, changed: world::Changed, last: Role) {
    if changed.slices {
        publisher.slices.send_replace(Arc::new(world.slices.clone()));
    }
    if changed.resources {
        publisher.resources.send_replace(Arc::new(world.resources.clone()));
    }
    let failing: Option<Arc<str>> = world.unreadable().map(Into::into);
    let now = Instant::now();
    publisher.state.send_modify(|state| {
        *state = next_state(state, world, failing.as_ref(), now);
        state.statuses |= state.synced && last == Role::Status;
    });
}

fn next_state(
    before: &SourceState,
    world: &World,
    failing: Option<&Arc<str>>,
    now: Instant,
) -> SourceState {
    let mut next = SourceState { synced: before.synced || failing.is_none(), ..before.clone() };
    next.problems = world.problems();
    for kind in Kind::ALL {
        let known = next.kinds.get(&kind).and_then(|state| state.heard);
        let heard = if failing.is_none() { Some(now) } else { known };
        let listed = next.synced;
        next.kinds
            .insert(kind, KindState { listed, missing: false, heard, failing: failing.cloned() });
        next.reach(kind, world.version());
    }
    next
}

#[cfg(test)]
mod tests;
