//! A thread that reads what is published as a worker does: once for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway::snapshot::{Published, Snapshot};

use super::clock::thread_seconds;
use super::figure::Figure;
use super::gateway::{Get, find};

/// How many requests are on their way at once, each with the snapshot that it began with.
const ON_THEIR_WAY: usize = 64;
/// Between two requests.
const PAUSE: Duration = Duration::from_micros(100);

/// The thread, until it is asked for its longest turn.
pub(crate) struct Worker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(f64, usize)>,
}

impl Worker {
    /// Starts it; it asks for this host.
    pub(crate) fn start(published: &Arc<Published>, host: String) -> Self {
        let (stop, published) = (Arc::new(AtomicBool::new(false)), Arc::clone(published));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || run(&published, &host, &stopped));
        Self { stop, thread }
    }

    /// Its longest turn: load, lookup, and letting go of an older snapshot.
    pub(crate) fn longest(self, id: &'static str) -> Figure {
        self.stop.store(true, Ordering::Relaxed);
        let (longest, turns) = self.thread.join().unwrap_or_default();
        Figure::new(id, longest * 1e3, "ms").noted(format!("longest of {turns} turns"))
    }
}

fn run(published: &Published, host: &str, stop: &AtomicBool) -> (f64, usize) {
    let mut requests: Vec<Arc<Snapshot>> = Vec::with_capacity(ON_THEIR_WAY);
    let (mut longest, mut turns) = (0.0_f64, 0);
    let mut left = ON_THEIR_WAY + 1;
    // At the end it lets go of all that it holds, as the last of all perhaps.
    while left > 0 {
        left -= usize::from(stop.load(Ordering::Relaxed));
        let before = thread_seconds();
        let snapshot = published.load_full();
        std::hint::black_box(find(&snapshot.table, &Get(host, "/")));
        if requests.len() == ON_THEIR_WAY {
            requests.remove(0);
        }
        requests.push(snapshot);
        longest = longest.max(thread_seconds() - before);
        turns += 1;
        // The writer needs a core too.
        std::thread::sleep(PAUSE);
    }
    (longest, turns)
}
