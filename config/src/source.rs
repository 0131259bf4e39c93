//! The border: objects come in from a Kubernetes API server or from a directory of the same YAML.
//!
//! Both give the same three things to watch, and know nothing of what is done with them.

pub mod directory;
pub mod kubernetes;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::{Kind, ObjectRef};
use crate::resources::{Resources, Slices, Versions};

/// What a source gives. Nothing is given before everything was listed once.
#[derive(Clone, Debug)]
pub struct Watched {
    /// All objects but slices.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// The slices. Of one batch of changes, slices are given before the other objects, so that
    /// who sees a new route finds the endpoints that came with it.
    pub slices: watch::Receiver<Arc<Slices>>,
    /// How the source is.
    pub state: watch::Receiver<SourceState>,
}

/// How a source is.
#[derive(Clone, Debug, Default)]
pub struct SourceState {
    /// Whether everything was listed once.
    pub synced: bool,
    /// Whether the statuses of all that was listed are there too. At the start they may come later
    /// than what objects ask for: who writes statuses waits for them.
    pub statuses: bool,
    /// What was heard of each kind that is watched.
    pub kinds: OrdMap<Kind, KindState>,
    /// The objects wanted by name whose presence or absence is known.
    pub answered: OrdSet<ObjectRef>,
    /// The objects wanted by name that cannot be read, and why.
    pub refused: OrdMap<ObjectRef, Arc<str>>,
    /// Up to which version each kind is complete: unlike `Resources::versions` it also counts
    /// lists and bookmarks, which tell how far we have read where no object says so.
    pub reached: Versions,
    /// What is wrong with the files of a directory.
    pub problems: Vec<FileProblem>,
}

/// What was heard of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindState {
    /// Whether it was listed, or is known not to exist in this cluster.
    pub listed: bool,
    /// Whether the cluster does not know it: its definition is not installed.
    pub missing: bool,
    /// When it was last heard of.
    pub heard: Option<Instant>,
    /// Why nothing is heard of it now.
    pub failing: Option<Arc<str>>,
}

impl SourceState {
    /// How old the state is: the time since anything was heard of the kind that is silent longest,
    /// of those that fail. Nothing where none fails.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let failing = self.kinds.values().filter(|kind| kind.failing.is_some());
        failing.filter_map(|kind| kind.heard).map(|heard| now.duration_since(heard)).max()
    }

    /// Whether each kind is complete up to the version that is asked for.
    pub fn has_reached(&self, versions: &Versions) -> bool {
        versions
            .iter()
            .all(|(kind, version)| self.reached.get(kind).is_some_and(|reached| reached >= version))
    }

    fn reach(&mut self, kind: Kind, version: u64) {
        if self.reached.get(&kind).is_none_or(|known| *known < version) {
            self.reached.insert(kind, version);
        }
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileProblem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 where it concerns the file as a whole.
    pub line: u32,
    /// The object, where that much could be read.
    pub object: Option<ObjectRef>,
    /// The field, empty where it concerns the file as a whole.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// The other ends of what is watched.
#[derive(Debug)]
struct Publisher {
    resources: watch::Sender<Arc<Resources>>,
    slices: watch::Sender<Arc<Slices>>,
    state: watch::Sender<SourceState>,
}

impl Publisher {
    fn new() -> (Self, Watched) {
        let (resources, watched_resources) = watch::channel(Arc::default());
        let (slices, watched_slices) = watch::channel(Arc::default());
        let (state, watched_state) = watch::channel(SourceState::default());
        let watched =
            Watched { resources: watched_resources, slices: watched_slices, state: watched_state };
        (Self { resources, slices, state }, watched)
    }
}

#[cfg(test)]
mod tests;
