//! Serves each link its catalog: whole, then what changes, with heartbeats between.
//!
//! A stream is pulled, not pushed: while a subscriber does not read, nothing is prepared for it,
//! and when it reads again it gets what is new against what it has. There is no queue to grow.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::model::LinkName;
use futures::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Request, Response, Status};

use super::generated::catalog_server::{Catalog as Service, CatalogServer};
use super::generated::event::Event as Kind;
use super::generated::{self as pb, SubscribeRequest};
use super::{Catalog, Change, Offers, PROTOCOL, Version, diff, wire};

/// How often a peer hears of us while nothing changes: a dead path is known after three of them,
/// and ten bytes each are nothing.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a replica that is behind waits for its own watches before it sends the caller on: in
/// an ordinary rollout it is behind by less than a second.
pub const BEHIND_WAIT: Duration = Duration::from_secs(2);

/// Whose catalog is asked for: put into the request's extensions by whoever authenticated the
/// peer. Nothing that the peer says has a part in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLink(pub LinkName);

/// How old the state of each of our own watches is, by the kind's label.
pub trait Ages: Send + Sync + 'static {
    /// The ages at `now`.
    fn ages(&self, now: Instant) -> Vec<(Arc<str>, Duration)>;
}

impl<F: Fn(Instant) -> Vec<(Arc<str>, Duration)> + Send + Sync + 'static> Ages for F {
    fn ages(&self, now: Instant) -> Vec<(Arc<str>, Duration)> {
        self(now)
    }
}

/// Answers the gateways and controllers of linked clusters.
#[derive(Clone)]
pub struct Server {
    offers: watch::Receiver<Offers>,
    ages: Arc<dyn Ages>,
    instance: Arc<str>,
}

impl Server {
    /// Serves `offers` as the gateway `instance`, the UID of its pod.
    pub fn new(offers: watch::Receiver<Offers>, ages: Arc<dyn Ages>, instance: Arc<str>) -> Self {
        Self { offers, ages, instance }
    }

    /// The gRPC service, with its limits. Each request must carry a [`PeerLink`].
    pub fn service(self) -> CatalogServer<Self> {
        CatalogServer::new(self)
            // A subscription names some twenty kinds.
            .max_decoding_message_size(64 * 1024)
            .max_encoding_message_size(wire::MESSAGE_BYTES_MAX)
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Server {
    type SubscribeStream = Events;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let link = request.extensions().get::<PeerLink>().cloned();
        let PeerLink(link) = link.ok_or_else(|| Status::permission_denied("no link is yours"))?;
        let asked = request.into_inner();
        if asked.protocol != PROTOCOL {
            return Err(Status::unimplemented(format!(
                "protocol {} is not spoken here but {PROTOCOL}",
                asked.protocol
            )));
        }
        let known = wire::read_version(asked.known)
            .map_err(|why| Status::invalid_argument(why.to_string()))?;
        let mut offers = self.offers.clone();
        let reached = reach(&mut offers, &link, &known).await?;
        tracing::info!(%link, cluster = asked.cluster, reached, "a peer subscribes");
        if !reached {
            let version = catalog(&offers, &link)?.version;
            let behind = pb::Behind { version: wire::write_version(&version) };
            let event = Ok(pb::Event { event: Some(Kind::Behind(behind)) });
            return Ok(Response::new(Box::pin(futures::stream::iter([event]))));
        }
        let subscriber = Subscriber::new(link, offers, Arc::clone(&self.ages), &self.instance);
        let events = futures::stream::unfold(subscriber, async |mut subscriber| {
            let event = subscriber.next().await?;
            Some((event, subscriber))
        });
        Ok(Response::new(Box::pin(events)))
    }
}

/// Waits, at most [`BEHIND_WAIT`], until we have seen what the caller has.
async fn reach(
    offers: &mut watch::Receiver<Offers>,
    link: &LinkName,
    known: &Version,
) -> Result<bool, Status> {
    let covered = |offers: &Offers| offers.get(link).is_none_or(|offer| offer.covers(known));
    let waited = tokio::time::timeout(BEHIND_WAIT, offers.wait_for(covered)).await;
    let reached = waited.is_ok_and(|offers| offers.is_ok());
    catalog(offers, link)?;
    Ok(reached)
}

fn catalog(offers: &watch::Receiver<Offers>, link: &LinkName) -> Result<Catalog, Status> {
    let offers = offers.borrow();
    let offer = offers.get(link).ok_or_else(|| Status::permission_denied("the link is gone"))?;
    Ok(offer.catalog.clone())
}

/// One stream.
struct Subscriber {
    link: LinkName,
    offers: watch::Receiver<Offers>,
    ages: Arc<dyn Ages>,
    instance: Arc<str>,
    /// What the peer has when it has read all that is under way.
    sent: Catalog,
    update: Option<Outgoing>,
    first: bool,
    heartbeat: tokio::time::Interval,
    over: bool,
}

/// An update of which parts are still to be sent.
struct Outgoing {
    changes: VecDeque<Change>,
    snapshot: bool,
    state: pb::State,
}

impl Subscriber {
    fn new(
        link: LinkName,
        offers: watch::Receiver<Offers>,
        ages: Arc<dyn Ages>,
        instance: &Arc<str>,
    ) -> Self {
        // The first beat follows the snapshot at once: it says how old that is.
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let instance = Arc::clone(instance);
        let sent = Catalog::default();
        let update = None;
        Self { link, offers, ages, instance, sent, update, first: true, heartbeat, over: false }
    }

    /// The next event, `None` when the stream has ended.
    async fn next(&mut self) -> Option<Result<pb::Event, Status>> {
        if self.over {
            return None;
        }
        loop {
            if let Some(part) = self.part() {
                return Some(Ok(pb::Event { event: Some(Kind::Update(part)) }));
            }
            let changed = self.first
                || tokio::select! {
                    biased;
                    _ = self.heartbeat.tick() => return Some(Ok(self.beat())),
                    changed = self.offers.changed() => changed.is_ok(),
                };
            if !changed {
                // The gateway ends: its peers go elsewhere at once.
                self.over = true;
                return Some(Err(Status::unavailable("the gateway ends")));
            }
            if let Err(status) = self.compare() {
                self.over = true;
                return Some(Err(status));
            }
        }
    }

    /// Prepares what is new against what the peer has.
    fn compare(&mut self) -> Result<(), Status> {
        self.offers.mark_unchanged();
        let now = catalog(&self.offers, &self.link)?;
        let changes: VecDeque<Change> = diff(&self.sent, &now).into();
        // A version alone goes with the next heartbeat: elsewhere in the cluster much may happen.
        let told = |change: &Change| !matches!(change, Change::Version(_));
        if self.first || changes.iter().any(told) {
            let state = wire::state(&now);
            self.update = Some(Outgoing { changes, snapshot: self.first, state });
            self.first = false;
            self.sent = now;
        } else {
            // It has all of this version already: no later word may fall behind one that said so.
            self.sent.version = now.version;
        }
        Ok(())
    }

    /// The next part of the update that is under way.
    fn part(&mut self) -> Option<pb::Update> {
        let update = self.update.as_mut()?;
        let mut part = wire::next_part(&mut update.changes, update.snapshot);
        if update.changes.is_empty() {
            part.state = self.update.take().map(|update| update.state);
        }
        Some(part)
    }

    fn beat(&self) -> pb::Event {
        let ages = self.ages.ages(Instant::now());
        let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let version = catalog(&self.offers, &self.link).map(|it| it.version);
        // A change that has not been sent yet is not to be taken for seen.
        let current = self.offers.has_changed().is_ok_and(|changed| !changed);
        let version = version.ok().filter(|_| current).unwrap_or_else(|| self.sent.version.clone());
        let beat = pb::Heartbeat {
            age_ms: ages.into_iter().map(|(kind, age)| (kind.to_string(), millis(age))).collect(),
            server_time_ms: millis(
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            ),
            version: wire::write_version(&version),
            instance: self.instance.to_string(),
        };
        pb::Event { event: Some(Kind::Heartbeat(beat)) }
    }
}

#[cfg(test)]
mod tests;
