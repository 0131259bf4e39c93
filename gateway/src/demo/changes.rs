//! Routes and endpoints change while they carry load.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom as _;

use super::load::RuleBook;
use super::world::{EAST, WEST, World};
use super::yaml;
use crate::lock::lock;

/// From one route change to the next.
const ROUTE_EVERY: Duration = Duration::from_millis(500);
/// From one endpoint change to the next.
const ENDPOINTS_EVERY: Duration = Duration::from_millis(150);
/// The weights through which the route goes: here and there.
const WEIGHTS: [(u32, u32); 4] = [(90, 10), (50, 50), (0, 1), (1, 0)];

/// Writes changes and counts them.
pub(super) struct Churn {
    route: PathBuf,
    slices: Vec<Slices>,
    book: Arc<RuleBook>,
    route_changes: AtomicU64,
    endpoint_changes: AtomicU64,
    endpoint_removals: AtomicU64,
}

/// The endpoints of one Service, and where they are written.
struct Slices {
    service: &'static str,
    file: PathBuf,
    all: Vec<SocketAddr>,
    now: std::sync::Mutex<Vec<SocketAddr>>,
}

/// Writes a file as a whole: a reader sees the old or the new one.
pub(super) fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, file)
}

impl Churn {
    /// Changes of `world`; the first version of the route is in force already.
    pub(super) fn new(world: &World, book: Arc<RuleBook>) -> Self {
        let slices = world.samples().map(|(file, service, endpoints)| Slices {
            service,
            file,
            all: endpoints.to_vec(),
            now: std::sync::Mutex::new(endpoints.to_vec()),
        });
        let churn = Self {
            route: world.route_file(),
            slices: slices.collect(),
            book,
            route_changes: AtomicU64::new(0),
            endpoint_changes: AtomicU64::new(0),
            endpoint_removals: AtomicU64::new(0),
        };
        churn.in_force(1, Instant::now());
        churn
    }

    /// Goes on until something cannot be written.
    pub(super) async fn run(&self) -> anyhow::Error {
        let mut routes = tokio::time::interval(ROUTE_EVERY);
        let mut endpoints = tokio::time::interval(ENDPOINTS_EVERY);
        let mut version = 1;
        loop {
            let written = tokio::select! {
                _ = routes.tick() => {
                    version += 1;
                    self.change_route(version)
                }
                _ = endpoints.tick() => self.change_endpoints(),
            };
            if let Err(error) = written {
                return error.into();
            }
        }
    }

    /// Routes changed so far.
    pub(super) fn route_changes(&self) -> u64 {
        self.route_changes.load(Relaxed)
    }

    /// Endpoints added and removed so far.
    pub(super) fn endpoint_changes(&self) -> u64 {
        self.endpoint_changes.load(Relaxed)
    }

    /// Endpoints removed so far.
    pub(super) fn endpoint_removals(&self) -> u64 {
        self.endpoint_removals.load(Relaxed)
    }

    fn change_route(&self, version: u64) -> std::io::Result<()> {
        let (here, there) = weights(version);
        // Known before it is written, so that no answer is faster than its rule.
        self.in_force(version, Instant::now());
        write(&self.route, &yaml::cart_route(version, here, there))?;
        self.route_changes.fetch_add(1, Relaxed);
        Ok(())
    }

    fn in_force(&self, version: u64, now: Instant) {
        let (here, there) = weights(version);
        let clusters = [(here, EAST), (there, WEST)];
        let clusters = clusters.into_iter().filter(|(weight, _)| *weight > 0);
        self.book.put(version, "cart", clusters.map(|(_, cluster)| cluster).collect(), now);
    }

    /// Takes an endpoint away from a Service that has several, or gives one back.
    fn change_endpoints(&self) -> std::io::Result<()> {
        let Some(slices) = self.slices.choose(&mut rand::rng()) else { return Ok(()) };
        let mut now = lock(&slices.now);
        let gone: Vec<_> = slices.all.iter().filter(|one| !now.contains(one)).copied().collect();
        if now.len() > 1 && (gone.is_empty() || rand::random()) {
            let index = rand::random_range(0..now.len());
            now.remove(index);
            self.endpoint_removals.fetch_add(1, Relaxed);
        } else if let Some(back) = gone.choose(&mut rand::rng()) {
            now.push(*back);
        }
        write(&slices.file, &yaml::slices(slices.service, &now))?;
        self.endpoint_changes.fetch_add(1, Relaxed);
        Ok(())
    }
}

/// The weights of a version.
pub(super) fn weights(version: u64) -> (u32, u32) {
    let at = usize::try_from(version).unwrap_or_default() % WEIGHTS.len();
    WEIGHTS.get(at).copied().unwrap_or((1, 1))
}
