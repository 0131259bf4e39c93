//! A directory of YAML files as the source, for `spanway up` and for those without Kubernetes.
//!
//! What the API server would do for an object is done here: it gets a UID, a generation, a version
//! and a creation time, and its namespace exists. A file that cannot be read, half-written or
//! broken, keeps the last good state of its objects, and a problem says where the error is.

mod document;
mod file;
mod files;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use jiff::Timestamp;
use kube::core::DynamicObject;
use notify::{RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::files::{Files, Place, Role, Text};
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

/// How long a directory must be quiet before it is read: who writes a file in several steps is
/// usually done by then, and nobody notices the wait.
const SETTLE: Duration = Duration::from_millis(10);
/// The longest that a directory that is never quiet is waited for.
const SETTLE_AT_MOST: Duration = Duration::from_millis(200);
/// How long after what objects ask for their statuses are read at the start: until then those who
/// follow have much to do, and nobody waits for a status.
const STATUSES_LATER: Duration = Duration::from_millis(100);
/// How often a directory is read without being told of a change: some file systems tell nothing.
const POLL: Duration = Duration::from_secs(5);

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
        self.world.read(self.files.read(Role::Status));
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
    let texts = Files::new(path.to_owned()).read(Role::Written).map_err(io::Error::other)?;
    for (key, text) in texts {
        if !may_name(&text, &object.name.name) {
            continue;
        }
        let Place { role, path } = &*key;
        let mut file = file::File::default();
        file.take(path, text, *role);
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
        Text::Same | Text::Failed(_) => false,
    }
}

impl Directory {
    /// Prepares to watch a directory, which must exist.
    pub fn open(path: &Path) -> Result<(Self, Watched), OpenError> {
        readable(path)?;
        let (publisher, watched) = Publisher::new();
        let world = World::new(Timestamp::now());
        Ok((Self { path: path.to_owned(), world, publisher }, watched))
    }

    /// Reads the directory, and reads it again whenever it changes, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let (notice, mut notices) = watch::channel(Touched::default());
        let watcher = watch(&self.path, notice);
        if let Err(error) = &watcher {
            let (path, every) = (self.path.display(), POLL);
            tracing::warn!(%path, %error, ?every, "directory cannot be watched, polling it");
        }
        let Self { path, mut world, publisher } = self;
        let (mut files, mut seen) = (Files::new(path), Touched::default());
        let mut last = if files.have_statuses() { Role::Made } else { Role::Status };
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let changed = world.take(files.read(last), Timestamp::now());
                (files, world, changed)
            });
            // It ends in an error only where the run time itself is shutting down.
            let Ok((read_from, next, changed)) = read.await else { return };
            (files, world) = (read_from, next);
            publish(&publisher, &world, changed, last);
            let next = async {
                if mem::replace(&mut last, Role::Status) == Role::Status {
                    settled(&mut notices, &mut seen, watcher.is_ok()).await;
                } else {
                    sleep(STATUSES_LATER).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = next => {}
            }
        }
    }
}

fn readable(path: &Path) -> Result<(), OpenError> {
    std::fs::read_dir(path)
        .map(drop)
        .map_err(|source| OpenError::Unreadable { path: path.to_owned(), source })
}

/// How often what was touched, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Touched {
    /// The user's files.
    written: u64,
    /// The objects that we made.
    made: u64,
    /// What we said about objects.
    said: u64,
}

impl Touched {
    /// Takes note of one event.
    fn note(&mut self, own: &Path, event: &notify::Event) {
        let ours = |folder| {
            let folder = own.join(folder);
            !event.paths.is_empty() && event.paths.iter().all(|path| path.starts_with(&folder))
        };
        let count = if ours(STATUS_FOLDER) {
            &mut self.said
        } else if ours(OBJECTS_FOLDER) {
            &mut self.made
        } else {
            &mut self.written
        };
        *count += 1;
    }

    /// Whether whoever touched files between `before` and now may not be done, so that a moment
    /// more is waited. We replace our own files as a whole, and what we said about objects can
    /// wait: nothing follows from it.
    fn goes_on(self, start: Self, before: Self) -> bool {
        let only_said = (self.written, self.made) == (start.written, start.made);
        self.written != before.written || (only_said && self.said != before.said)
    }
}

/// Watches the directory itself and not its files, so that files which are replaced by renaming,
/// and the links of a mounted `ConfigMap`, are seen too.
fn watch(
    path: &Path,
    notice: watch::Sender<Touched>,
) -> notify::Result<notify::RecommendedWatcher> {
    let own = path.join(OWN_FOLDER);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !event.kind.is_access()
        {
            notice.send_modify(|touched| touched.note(&own, &event));
        }
    })?;
    watcher.watch(path, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Waits for a change, and then until there are no more for a moment; or for the next poll.
/// `seen` is what was touched before the directory was read last.
async fn settled(changes: &mut watch::Receiver<Touched>, seen: &mut Touched, watching: bool) {
    if !watching {
        return sleep(POLL).await;
    }
    if timeout(POLL, changes.changed()).await.is_err() {
        return;
    }
    let (start, deadline) = (*seen, Instant::now() + SETTLE_AT_MOST);
    *seen = *changes.borrow_and_update();
    while Instant::now() < deadline {
        sleep(SETTLE).await;
        let before = mem::replace(seen, *changes.borrow_and_update());
        if !seen.goes_on(start, before) {
            return;
        }
    }
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
