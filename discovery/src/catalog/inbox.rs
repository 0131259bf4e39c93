//! Takes the parts of a peer's updates, within the link's quota, and makes them one catalog.

use std::sync::Arc;

use config::model::Name;

use super::generated as pb;
use super::wire::{self, InvalidCatalog};
use super::{Catalog, CatalogService, Change, Version, apply};

/// How much is taken from one link: a broken or hostile cluster costs this and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many services.
    pub services: usize,
    /// How many endpoints.
    pub endpoints: usize,
    /// How many bytes of text.
    pub bytes: usize,
}

/// The bytes that a catalog may hold unless said otherwise: the default counts of services and
/// endpoints fit well, and a process with many links still has room.
pub const DEFAULT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a service or an endpoint costs beside its texts, about.
const ENTRY_BYTES: usize = 128;

impl Default for Quota {
    fn default() -> Self {
        use config::api::cluster_link::{DEFAULT_MAX_ENDPOINTS, DEFAULT_MAX_SERVICES};
        Self {
            services: DEFAULT_MAX_SERVICES as usize,
            endpoints: DEFAULT_MAX_ENDPOINTS as usize,
            bytes: DEFAULT_BYTES_MAX,
        }
    }
}

/// How much a catalog holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    endpoints: usize,
    bytes: usize,
}

/// What came of a part of an update.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// More parts follow.
    More,
    /// The catalog as it is now.
    Catalog(Arc<Catalog>),
}

/// The catalog of one link while its parts arrive. What was complete stays as it was until the
/// next is complete.
#[derive(Debug, Default)]
pub struct Inbox {
    /// The last complete catalog.
    complete: Arc<Catalog>,
    /// What it becomes.
    draft: Option<Catalog>,
    usage: Usage,
    quota: Quota,
    /// What was left out because of the quota, since the last snapshot.
    over_quota: Option<String>,
    /// What was left out because it was not valid, since the last snapshot.
    invalid: Option<InvalidCatalog>,
    /// Whether something went since something was left out: there may be room now.
    room: bool,
}

impl Inbox {
    /// Goes on from `known`, of which a snapshot takes over what is the same.
    pub fn new(known: Arc<Catalog>, quota: Quota) -> Self {
        let usage = known.services.values().fold(Usage::default(), |sum, service| Usage {
            endpoints: sum.endpoints + service.endpoints.len(),
            bytes: sum.bytes + weigh(service),
        });
        Self { complete: known, usage, quota, ..Self::default() }
    }

    /// The first sentence about what was left out, with its reason, if anything was.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let invalid = self.invalid.as_ref().map(|why| ("InvalidCatalog", why.to_string()));
        self.over_quota.clone().map(|what| ("QuotaExceeded", what)).or(invalid)
    }

    /// Whether what was left out may fit now: a new snapshot shows.
    pub const fn wants_snapshot(&self) -> bool {
        self.room && self.over_quota.is_some()
    }

    /// Takes a part of an update.
    pub fn receive(&mut self, mut part: pb::Update) -> Received {
        if part.snapshot && self.draft.is_none() {
            self.draft = Some(Catalog::default());
            self.usage = Usage::default();
            (self.over_quota, self.invalid, self.room) = (None, None, false);
        }
        let snapshot = part.snapshot;
        let state = part.state.take();
        for change in wire::read_part(part) {
            match change {
                Ok(change) => self.take(change),
                Err(why) => self.invalid = self.invalid.take().or(Some(why)),
            }
        }
        let Some(state) = state else { return Received::More };
        match wire::read_state(state) {
            Ok(changes) => changes.into_iter().for_each(|change| self.take(change)),
            Err(why) => self.invalid = Some(why),
        }
        let mut next = self.draft.take().unwrap_or_else(|| Catalog::clone(&self.complete));
        if snapshot {
            share(&mut next, &self.complete);
        }
        self.complete = Arc::new(next);
        Received::Catalog(Arc::clone(&self.complete))
    }

    /// Notes how far the peer's watches are, as a heartbeat says.
    pub fn advance(&mut self, version: Version) -> Arc<Catalog> {
        if self.complete.version != version {
            let next = Catalog { version, ..Catalog::clone(&self.complete) };
            self.complete = Arc::new(next);
        }
        Arc::clone(&self.complete)
    }

    fn take(&mut self, change: Change) {
        let mut draft = self.draft.take().unwrap_or_else(|| Catalog::clone(&self.complete));
        match self.admit(&draft, &change) {
            Ok(usage) => {
                self.room |= usage.bytes < self.usage.bytes;
                self.usage = usage;
                apply(&mut draft, change);
            }
            Err(what) => self.over_quota = self.over_quota.take().or(Some(what)),
        }
        self.draft = Some(draft);
    }

    /// How much the catalog holds after `change`, if that is not too much.
    fn admit(&self, draft: &Catalog, change: &Change) -> Result<Usage, String> {
        let Usage { endpoints, bytes } = self.usage;
        let usage = match change {
            Change::PutService(name, head) => {
                let known = draft.services.get(name);
                if known.is_none() && draft.services.len() >= self.quota.services {
                    return Err(format!(
                        "more than {} services, among them {name}",
                        self.quota.services
                    ));
                }
                let before = known.map_or(0, |known| head_bytes(known));
                Usage { endpoints, bytes: (bytes + head_bytes(head)).saturating_sub(before) }
            }
            Change::RemoveService(name) => {
                let Some(known) = draft.services.get(name) else { return Ok(self.usage) };
                Usage {
                    endpoints: endpoints.saturating_sub(known.endpoints.len()),
                    bytes: bytes.saturating_sub(weigh(known)),
                }
            }
            Change::PutEndpoint(name, id, endpoint) => {
                let Some(service) = draft.services.get(name) else { return Ok(self.usage) };
                let before = service.endpoints.get(id);
                let bytes = (bytes + endpoint_bytes(endpoint))
                    .saturating_sub(before.map_or(0, |known| endpoint_bytes(known)));
                Usage { endpoints: endpoints + usize::from(before.is_none()), bytes }
            }
            Change::RemoveEndpoint(name, id) => {
                let known = draft.services.get(name).and_then(|service| service.endpoints.get(id));
                let Some(known) = known else { return Ok(self.usage) };
                Usage {
                    endpoints: endpoints.saturating_sub(1),
                    bytes: bytes.saturating_sub(endpoint_bytes(known)),
                }
            }
            Change::Draining(_) | Change::DrainedPercent(_) | Change::Version(_) => self.usage,
        };
        self.within(usage, change)
    }

    fn within(&self, usage: Usage, change: &Change) -> Result<Usage, String> {
        let grows = usage.bytes > self.usage.bytes || usage.endpoints > self.usage.endpoints;
        let about = || match change {
            Change::PutService(name, _) | Change::PutEndpoint(name, ..) => name.to_string(),
            _ => String::new(),
        };
        if grows && usage.endpoints > self.quota.endpoints {
            return Err(format!("more than {} endpoints, at {}", self.quota.endpoints, about()));
        }
        if grows && usage.bytes > self.quota.bytes {
            return Err(format!("more than {} bytes, at {}", self.quota.bytes, about()));
        }
        Ok(usage)
    }
}

/// Lets `next` hold the services of `known` that are the same, so that nobody looks at them again.
fn share(next: &mut Catalog, known: &Catalog) {
    let same = |(name, service): (&Name, &Arc<CatalogService>)| {
        let known = known.services.get(name)?;
        (known == service).then(|| (name.clone(), Arc::clone(known)))
    };
    let same: Vec<_> = next.services.iter().filter_map(same).collect();
    for (name, service) in same {
        next.services.insert(name, service);
    }
}

fn weigh(service: &CatalogService) -> usize {
    head_bytes(service)
        + service.endpoints.values().map(|endpoint| endpoint_bytes(endpoint)).sum::<usize>()
}

fn head_bytes(service: &CatalogService) -> usize {
    let pairs = service.labels.iter().chain(service.annotations.iter());
    let texts: usize = pairs.map(|(key, value)| key.len() + value.len() + ENTRY_BYTES).sum();
    let protocol = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let ports = service.ports.iter().map(|it| 2 * protocol(&it.app_protocol) + it.name.len());
    ENTRY_BYTES + texts + ports.map(|bytes| bytes + ENTRY_BYTES).sum::<usize>()
}

fn endpoint_bytes(endpoint: &super::CatalogEndpoint) -> usize {
    let zone = endpoint.zone.as_ref().map_or(0, |zone| zone.len());
    let ports = endpoint.ports.iter().flatten().map(|name| name.len() + ENTRY_BYTES);
    ENTRY_BYTES + zone + ports.sum::<usize>()
}

#[cfg(test)]
mod tests;
