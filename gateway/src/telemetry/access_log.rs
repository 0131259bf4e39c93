//! One JSON line for each request. Each worker gathers its own, and in short intervals a thread
//! of its own writes what has come: a slow reader costs lines, never time.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::lock::lock;

/// How long lines are gathered: to wake the thread for each costs more than all else of it, and
/// what has come meanwhile is written in so short a time that no request waits for it.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of one worker's lines that may wait, but for the last line: a second of a busy gateway.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a buffer that is kept for the next lines.
const KEPT_BYTES: usize = 64 * 1024;
/// How long the last lines are waited for: whoever reads at all has them by then.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// One request. Keys are stable.
#[derive(Clone, Copy, Serialize)]
pub struct Entry<'a> {
    /// When it ended, RFC 3339.
    #[serde(serialize_with = "shown")]
    pub ts: jiff::Timestamp,
    /// `x-request-id`.
    pub request_id: &'a str,
    /// Of `traceparent`.
    pub trace_id: &'a str,
    /// The method.
    pub method: &'a str,
    /// `Host` or `:authority`.
    pub authority: &'a str,
    /// Without the query, which may hold secrets.
    pub path: &'a str,
    /// HTTP version of the client's side.
    pub protocol: &'static str,
    /// Kind and name of the route.
    #[serde(serialize_with = "shown")]
    pub route: &'a dyn Display,
    /// Its rule's name, or place.
    #[serde(serialize_with = "shown")]
    pub rule: &'a dyn Display,
    /// The remote cluster, or `local`.
    pub cluster: &'a str,
    /// Address or id of the endpoint.
    #[serde(serialize_with = "shown")]
    pub endpoint: &'a dyn Display,
    /// Status that the client got; 0 for none.
    pub status: u16,
    /// What went wrong, in few letters; `-` for nothing.
    pub flags: &'static str,
    /// From the first byte of the head to the last of the answer.
    pub duration_ms: f64,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// Times that an endpoint was tried.
    pub attempts: u32,
    /// The client's address.
    #[serde(serialize_with = "shown")]
    pub client: SocketAddr,
    /// SNI, where the client spoke TLS.
    pub sni: &'a str,
}

fn shown<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

/// Takes entries; never waits.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<Arc<Writer>>);

/// The thread that writes, as long as somebody has lines for it.
#[derive(Debug)]
struct Writer {
    lines: Arc<Lines>,
    thread: Thread,
    /// Nothing comes out of it until the thread has ended.
    ended: Mutex<Receiver<Infallible>>,
}

/// What waits to be written.
#[derive(Debug)]
struct Lines {
    waiting: Box<[OfWorker]>,
    dropped: AtomicU64,
    /// Whether no more come.
    closed: AtomicBool,
}

/// The lines of one worker. On lines of memory of its own, as for [`crate::worker::Alone`].
#[derive(Debug, Default)]
#[repr(align(128))]
struct OfWorker(Mutex<Vec<u8>>);

impl AccessLog {
    /// Writes the lines of so many workers to `out`.
    pub fn start(workers: usize, out: impl Write + Send + 'static) -> io::Result<Self> {
        let waiting = (0..workers.max(1)).map(|_| OfWorker::default()).collect();
        let (dropped, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        let lines = Arc::new(Lines { waiting, dropped, closed });
        let (end, ended) = channel();
        let gathered = Arc::clone(&lines);
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            gathered.write_on(out);
            drop(end);
        })?;
        let (thread, ended) = (thread.thread().clone(), Mutex::new(ended));
        Ok(Self(Some(Arc::new(Writer { lines, thread, ended }))))
    }

    /// Writes nothing.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether entries go anywhere: making one is not free.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes an entry of a worker, or counts it as dropped where too much waits.
    pub fn write(&self, worker: usize, entry: &Entry<'_>) {
        let Some(Writer { lines, thread, .. }) = self.0.as_deref() else { return };
        match lines.take(worker, entry) {
            Some(true) => thread.unpark(),
            Some(false) => {}
            None => lines.lost(1),
        }
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |writer| writer.lines.dropped.load(Ordering::Relaxed))
    }

    /// Takes no more, and waits until all is written, or for a while if nobody reads.
    pub fn close(&self) {
        if let Some(writer) = &self.0 {
            writer.end();
            let _written = lock(&writer.ended).recv_timeout(CLOSE_WAIT);
        }
    }
}

impl Writer {
    fn end(&self) {
        self.lines.closed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

impl Lines {
    /// Counts lines that nobody gets to see.
    fn lost(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Whether the line is the first of those that wait; `None` if it found no place.
    fn take(&self, worker: usize, entry: &Entry<'_>) -> Option<bool> {
        let mut waiting = lock(&self.waiting.get(worker)?.0);
        let before = waiting.len();
        if before >= WAITING_BYTES_MAX {
            return None;
        }
        if serde_json::to_writer(&mut *waiting, entry).is_err() {
            // Half of a line would spoil the next.
            waiting.truncate(before);
            return None;
        }
        waiting.push(b'\n');
        Some(before == 0)
    }

    /// Writes what comes until nothing more does. Whoever puts the first line down unparks this
    /// thread; until it looks, others follow.
    fn write_on(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            thread::park();
            if !self.closed.load(Ordering::Acquire) {
                thread::sleep(GATHER);
            }
            let last = self.closed.load(Ordering::Acquire);
            for OfWorker(waiting) in &self.waiting {
                std::mem::swap(&mut *lock(waiting), &mut batch);
                if batch.is_empty() {
                    continue;
                }
                if let Err(error) = out.write_all(&batch).and_then(|()| out.flush()) {
                    tracing::debug!(%error, "access log not written");
                    self.lost(memchr::memchr_iter(b'\n', &batch).count());
                }
                batch.clear();
                batch.shrink_to(KEPT_BYTES);
            }
            if last {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
