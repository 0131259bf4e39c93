//! What the system tells of a directory: that something in it was touched, and where.

use std::mem;
use std::path::Path;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::files::{Look, Role};
use super::{OBJECTS_FOLDER, OWN_FOLDER, STATUS_FOLDER};

/// How long a directory must be quiet before it is read: who writes a file in several steps is
/// usually done by then, and nobody notices the wait.
const SETTLE: Duration = Duration::from_millis(10);
/// The longest that a directory that is never quiet is waited for.
const SETTLE_AT_MOST: Duration = Duration::from_millis(20);
/// How often a directory is looked at whatever is told: some file systems tell nothing.
const POLL: Duration = Duration::from_secs(5);
/// The most paths that are remembered: beyond, all of the directory is looked at.
const PATHS_MAX: usize = 1_000;

/// What is told of a directory.
pub(super) struct Notices {
    /// Ends with the watch.
    watcher: Option<RecommendedWatcher>,
    told: watch::Sender<Told>,
    changes: watch::Receiver<Told>,
    /// What was touched before the directory was looked at last.
    seen: Touched,
    /// When it was looked at last whatever was told.
    polled: Instant,
}

/// What was told and not looked at yet.
#[derive(Debug, Default)]
struct Told {
    touched: Touched,
    look: Look,
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

impl Notices {
    /// Those of the directory at `path`, of which all is looked at now.
    pub(super) fn of(path: &Path) -> Self {
        let (told, changes) = watch::channel(Told::default());
        let watcher = watch(path, told.clone());
        if let Err(error) = &watcher {
            let (path, every) = (path.display(), POLL);
            tracing::warn!(%path, %error, ?every, "directory cannot be watched, polling it");
        }
        Self {
            watcher: watcher.ok(),
            told,
            changes,
            seen: Touched::default(),
            polled: Instant::now(),
        }
    }

    /// Waits for a change, and then until there are no more for a moment; or for the next poll.
    /// Gives what is to be looked at.
    pub(super) async fn settled(&mut self) -> Look {
        let poll = self.polled + POLL;
        if timeout_at(poll, self.changes.changed()).await.is_ok() {
            self.go_on().await;
        }
        let mut look = Look::default();
        self.told.send_if_modified(|told| {
            mem::swap(&mut look, &mut told.look);
            false
        });
        if Instant::now() >= poll {
            self.polled = Instant::now();
            look.all = look.all.max(Some(self.polls()));
        }
        look
    }

    /// What is looked at whatever was told. What lies in our own folder we wrote ourselves, where we
    /// are told of what is written.
    const fn polls(&self) -> Role {
        if self.watcher.is_some() { Role::Written } else { Role::Status }
    }

    /// Waits until whoever touches files is done.
    async fn go_on(&mut self) {
        let (start, deadline) = (self.seen, Instant::now() + SETTLE_AT_MOST);
        self.seen = self.changes.borrow_and_update().touched;
        while Instant::now() < deadline {
            sleep(SETTLE).await;
            let before = mem::replace(&mut self.seen, self.changes.borrow_and_update().touched);
            if !self.seen.goes_on(start, before) {
                return;
            }
        }
    }
}

impl Told {
    /// Takes note of one event.
    fn note(&mut self, own: &Path, event: &notify::Event) {
        self.touched.note(own, event);
        self.look.at.extend(event.paths.iter().cloned());
        if event.need_rescan() || event.paths.is_empty() || self.look.at.len() > PATHS_MAX {
            self.look = Look::all(Role::Status);
        }
    }
}

impl Touched {
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
fn watch(path: &Path, told: watch::Sender<Told>) -> notify::Result<RecommendedWatcher> {
    let own = path.join(OWN_FOLDER);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event
            && !event.kind.is_access()
        {
            told.send_modify(|told| told.note(&own, &event));
        }
    })?;
    watcher.watch(path, RecursiveMode::Recursive)?;
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(path: &str) -> notify::Event {
        notify::Event::default().add_path(path.into())
    }

    #[test]
    fn only_the_users_files_are_waited_for_and_what_is_said_can_wait() {
        let touched = |path: &str| {
            let event = event(path);
            move |mut touched: Touched| {
                touched.note(Path::new("dir/.spanway"), &event);
                touched
            }
        };
        let written = touched("dir/a.yaml");
        let made = touched("dir/.spanway/objects/Service.shop.web.yaml");
        let said = touched("dir/.spanway/status/HTTPRoute.shop.web.yaml");
        let start = Touched::default();
        let one = written(start);
        assert!(written(one).goes_on(start, one), "somebody still writes");
        assert!(!one.goes_on(start, one), "nobody writes any more");
        let one = made(start);
        assert!(!made(one).goes_on(start, one), "each is whole");
        assert!(!said(one).goes_on(start, one), "what was made does not wait for what is said");
        let one = said(start);
        assert!(said(one).goes_on(start, one), "nothing follows from it");
        assert!(!made(one).goes_on(start, one), "but from this");
    }

    #[test]
    fn where_too_much_was_touched_everything_is_looked_at() {
        let mut told = Told::default();
        for number in 0..PATHS_MAX {
            told.note(Path::new("dir/.spanway"), &event(&format!("dir/{number}.yaml")));
        }
        assert_eq!((told.look.all, told.look.at.len()), (None, PATHS_MAX));
        told.note(Path::new("dir/.spanway"), &event("dir/one-more.yaml"));
        assert_eq!(told.look, Look::all(Role::Status));
    }
}
