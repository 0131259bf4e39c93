//! One thread with its own runtime and its own memory of endpoints.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

pub use self::each::{Alone, Each};
use crate::http::h1::ClientConn;
use crate::http::h2::client::Session;
use crate::link::ahead;
use crate::memory;
use crate::snapshot::Published;
use crate::telemetry::{Metrics, Tally};
use crate::upstream::pool::Pool;
use crate::upstream::sessions::Sessions;
use crate::upstream::state::{Loads, Shared};
use crate::wire::{WireReader, WireWriter};

mod each;
#[cfg(test)]
mod tests;

/// How often a worker looks through its idle connections: the longest that one to a removed
/// endpoint or a draining gateway stays open before its turn comes, and that one which is to be
/// opened ahead is not.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Where there is much to drop, it goes in so many parts at most: requests need most of it anew, and
/// to open all of that at once would hold up every other.
const SWEEP_PARTS: usize = 32;
/// Between two parts: the last comes before the next sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// The least that is dropped at once.
const SWEEP_LEAST: usize = 2;

/// An HTTP/1 connection to an endpoint; boxed, because it moves between requests and the pool.
pub type Http1 = Box<ClientConn<WireReader, WireWriter>>;

/// What the requests of one worker have in common, apart from what another writes: on a request's
/// way two workers write nothing in common. Only one that finds none of its own idle connections
/// looks for another's.
#[derive(Default)]
#[repr(align(128))]
pub struct Worker {
    number: usize,
    loads: Loads,
    http1: Each<Pool<Http1>>,
    http2: Each<Sessions<Session>>,
    shared: Arc<Shared>,
    tally: Arc<Tally>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// `count` workers, which count requests where `tally` says.
    pub fn all(
        count: usize,
        shared: &Arc<Shared>,
        tally: impl Fn() -> Arc<Tally>,
    ) -> impl Iterator<Item = Self> {
        Each::of(count).zip(Each::of(count)).enumerate().map(move |(number, (http1, http2))| Self {
            number,
            http1,
            http2,
            shared: Arc::clone(shared),
            tally: tally(),
            ..Self::default()
        })
    }

    /// Which of all workers this is.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// The loads of endpoints, as this worker sees them.
    pub const fn loads(&self) -> &Loads {
        &self.loads
    }

    /// Idle HTTP/1 connections.
    pub const fn http1(&self) -> &Each<Pool<Http1>> {
        &self.http1
    }

    /// HTTP/2 connections.
    pub(crate) const fn http2(&self) -> &Each<Sessions<Session>> {
        &self.http2
    }

    /// What all workers know together.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What it has counted of requests.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Drops idle connections that no request should use any more.
    async fn sweep(&self, published: &Published) {
        let mut most = SWEEP_LEAST;
        self.http2.own().sweep(&published.seen(), Instant::now());
        for others in (0..SWEEP_PARTS).rev() {
            let left = self.http1.own().sweep(&published.seen(), Instant::now(), most);
            if left == 0 {
                return;
            }
            most = left.div_ceil(others.max(1)).max(SWEEP_LEAST);
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }
}

/// All workers. Their drop ends the threads, and with them whatever still runs there: what runs
/// there holds [`Seats`] only, as no thread can wait for itself.
pub struct Workers {
    seats: Seats,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// The places of all workers.
#[derive(Clone, Default)]
pub struct Seats(Arc<[Arc<Seat>]>);

/// Where work of one worker is put.
pub struct Seat {
    worker: Arc<Worker>,
    runtime: Handle,
    tasks: AtomicUsize,
}

impl Workers {
    /// Starts `count` threads, at least one, with at most `ready` calls opened ahead for an endpoint.
    pub fn start(
        (count, ready): (usize, usize),
        published: &Arc<Published>,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(ready, metrics.calls_ready()));
        let mut seats = Vec::new();
        let mut workers =
            Self { seats: Seats::default(), threads: Vec::new(), stop: CancellationToken::new() };
        for worker in Worker::all(count.max(1), &shared, || metrics.tally()) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let worker = Arc::new(worker);
            seats.push(Arc::new(Seat {
                worker: Arc::clone(&worker),
                runtime: runtime.handle().clone(),
                tasks: AtomicUsize::new(0),
            }));
            let stop = workers.stop.clone();
            let published = Arc::clone(published);
            let thread = std::thread::Builder::new().name(format!("worker-{}", worker.number()));
            workers.threads.push(thread.spawn(move || {
                runtime.spawn(keep_house(worker, published));
                runtime.block_on(stop.cancelled());
                // Tasks are dropped here; none of them blocks.
                drop(runtime);
            })?);
        }
        workers.seats = Seats(seats.into());
        Ok(workers)
    }

    /// The runtime on which sockets are accepted: with one worker, its own.
    pub fn acceptor(&self) -> Option<&Handle> {
        self.seats.0.first().map(|seat| &seat.runtime)
    }

    /// Where work is put.
    pub const fn seats(&self) -> &Seats {
        &self.seats
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        let here = std::thread::current().id();
        // The last reference may be dropped by a task of a worker, which cannot wait for itself.
        let others = self.threads.drain(..).filter(|thread| thread.thread().id() != here);
        for thread in others {
            if thread.join().is_err() {
                tracing::error!("a worker thread had panicked");
            }
        }
    }
}

impl Seats {
    /// The worker with the least to do.
    pub fn least_loaded(&self) -> Option<&Arc<Seat>> {
        self.0.iter().min_by_key(|seat| seat.tasks.load(Relaxed))
    }
}

impl Seat {
    /// The worker.
    pub const fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Tasks put here that have not ended.
    pub fn tasks(&self) -> usize {
        self.tasks.load(Relaxed)
    }

    /// Runs `task` there. A panic ends the task alone.
    pub fn run<F, T>(self: &Arc<Self>, task: F)
    where
        F: FnOnce(Arc<Worker>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.tasks.fetch_add(1, Relaxed);
        let counted = Counted(Arc::clone(self));
        let worker = Arc::clone(&self.worker);
        self.runtime.spawn(async move {
            let _counted = counted;
            task(worker).await;
        });
    }
}

struct Counted(Arc<Seat>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Relaxed);
    }
}

async fn keep_house(worker: Arc<Worker>, published: Arc<Published>) {
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        ahead::keep(&worker, &published.seen(), Instant::now());
        worker.sweep(&published).await;
        memory::give_back();
    }
}
