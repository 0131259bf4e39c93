//! One watch: list, follow, and begin again when the API server says so.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Api;
use kube::core::{DynamicObject, WatchEvent};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Change, News, Trouble};
use super::scope::Scope;
use crate::resources::{name_of, version_of};

/// How long one page of a list may take.
const PAGE_DEADLINE: Duration = Duration::from_secs(30);
/// How long a watch may take to begin.
const WATCH_DEADLINE: Duration = Duration::from_secs(30);
/// How long a watch may say nothing: bookmarks come about once a minute, so more than one is gone.
const SILENCE: Duration = Duration::from_secs(150);
/// The first and the longest pause after an error. The longest is short, because the state ages
/// meanwhile, and a few hundred clients that ask every some seconds are no load.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause before asking again for a kind that the cluster does not know.
const MISSING_PAUSE: Duration = Duration::from_secs(10);
/// A watch that lasted this long was a good one: the next pause is the first again.
const GOOD_WATCH: Duration = Duration::from_secs(5);

/// Reads until the other end of `changes` is gone.
pub(super) async fn read(scope: Scope, api: Api<DynamicObject>, changes: mpsc::Sender<Change>) {
    let mut reader = Reader { scope, api, changes, pause: FIRST_PAUSE };
    loop {
        let read = match reader.list().await {
            Ok(version) => reader.follow(version).await,
            Err(trouble) => reader.fail(trouble).await,
        };
        if read.is_err() {
            return;
        }
    }
}

struct Reader {
    scope: Scope,
    api: Api<DynamicObject>,
    changes: mpsc::Sender<Change>,
    pause: Duration,
}

/// Nobody takes changes any more.
struct Unheard;

/// How a watch ended.
enum End {
    /// Our version is too old, or the kind is gone: list again.
    Relist,
    /// Watch on from where we are, after a pause if something went wrong.
    Again(Option<Trouble>),
}

impl Reader {
    /// Lists page by page, and gives the version to follow from.
    async fn list(&mut self) -> Result<String, Trouble> {
        let mut params = self.scope.list_params();
        let mut objects = Vec::new();
        loop {
            let page = timeout(PAGE_DEADLINE, self.api.list(&params)).await;
            let page = page.map_err(|_| Trouble::silent())?.map_err(Trouble::from)?;
            objects.extend(page.items.into_iter().map(stripped));
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let version = page.metadata.resource_version.unwrap_or_default();
                let listed = News::Listed { objects, version: version.parse().unwrap_or_default() };
                // That nobody hears it is noticed with the next word.
                self.tell(listed).await.ok();
                return Ok(version);
            }
        }
    }

    /// Follows from a version until the kind has to be listed again.
    async fn follow(&mut self, mut version: String) -> Result<(), Unheard> {
        loop {
            let begun = Instant::now();
            let end = self.watch(&mut version).await?;
            if begun.elapsed() >= GOOD_WATCH {
                self.pause = FIRST_PAUSE;
            }
            let (relist, trouble) = match end {
                End::Relist => (true, None),
                End::Again(trouble) => (false, trouble),
            };
            if let Some(trouble) = trouble {
                self.fail(trouble).await?;
            } else if begun.elapsed() < GOOD_WATCH {
                // A watch that ends at once must not become a busy loop.
                self.rest(None).await;
            }
            if relist {
                return Ok(());
            }
        }
    }

    async fn watch(&self, version: &mut String) -> Result<End, Unheard> {
        let params = self.scope.watch_params();
        let stream = match timeout(WATCH_DEADLINE, self.api.watch(&params, version)).await {
            Err(_) => return Ok(End::Again(Some(Trouble::silent()))),
            Ok(Err(error)) => {
                let trouble = Trouble::from(error);
                let relist = matches!(trouble, Trouble::Expired | Trouble::Missing(_));
                return Ok(if relist { End::Relist } else { End::Again(Some(trouble)) });
            }
            Ok(Ok(stream)) => stream,
        };
        self.tell(News::Heard).await?;
        self.drain(stream, version).await
    }

    async fn drain(
        &self,
        stream: impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send,
        version: &mut String,
    ) -> Result<End, Unheard> {
        let mut stream = pin!(stream);
        loop {
            let event = match timeout(SILENCE, stream.next()).await {
                Err(_) => return Ok(End::Again(Some(Trouble::silent()))),
                Ok(None) => return Ok(End::Again(None)),
                Ok(Some(event)) => event,
            };
            match event {
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(End::Relist),
                Ok(WatchEvent::Error(status)) => {
                    return Ok(End::Again(Some(Trouble::Other(status.message.into()))));
                }
                Err(error) if is_unreadable(&error) => {
                    tracing::warn!(kind = %self.scope.kind, "unreadable event left out");
                }
                Err(error) => return Ok(End::Again(Some(error.into()))),
                Ok(event) => self.take(event, version).await?,
            }
        }
    }

    async fn take(
        &self,
        event: WatchEvent<DynamicObject>,
        version: &mut String,
    ) -> Result<(), Unheard> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                note(version, object.metadata.resource_version.as_ref());
                self.tell(News::Applied(Box::new(stripped(object)))).await
            }
            WatchEvent::Deleted(object) => {
                note(version, object.metadata.resource_version.as_ref());
                let (name, at) = (name_of(self.scope.kind, &object), version_of(&object.metadata));
                self.tell(News::Deleted { name, version: at }).await
            }
            WatchEvent::Bookmark(bookmark) => {
                note(version, Some(&bookmark.metadata.resource_version));
                let at = bookmark.metadata.resource_version.parse().unwrap_or_default();
                self.tell(News::Bookmark(at)).await
            }
            WatchEvent::Error(_) => Ok(()),
        }
    }

    async fn tell(&self, news: News) -> Result<(), Unheard> {
        let change = Change { scope: self.scope.clone(), news };
        self.changes.send(change).await.map_err(|_| Unheard)
    }

    /// Tells what is wrong and waits a while.
    async fn fail(&mut self, trouble: Trouble) -> Result<(), Unheard> {
        let missing = matches!(trouble, Trouble::Missing(_)).then_some(MISSING_PAUSE);
        self.tell(News::Failed(trouble)).await?;
        self.rest(missing).await;
        Ok(())
    }

    /// Pauses longer each time, and never as long as the others that were cut off with us.
    async fn rest(&mut self, pause: Option<Duration>) {
        let longest = pause.unwrap_or(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        sleep(longest.mul_f64(rand::random_range(0.5..=1.0))).await;
    }
}

/// Whether it is an event with an object whose metadata cannot be read: it costs itself, not the
/// watch. kube takes what is no event for a status, and finds one that says nothing.
fn is_unreadable(error: &kube::Error) -> bool {
    match error {
        kube::Error::SerdeError(_) => true,
        kube::Error::Api(status) => status.code == 0 && status.message.is_empty(),
        _ => false,
    }
}

/// Remembers from where to watch on.
fn note(version: &mut String, new: Option<&String>) {
    if let Some(new) = new.filter(|new| !new.is_empty()) {
        version.clone_from(new);
    }
}

/// The object without what nobody reads and which is often larger than the rest.
fn stripped(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object
}
