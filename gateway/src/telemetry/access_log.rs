//! One JSON line for each request, written by a thread of its own: a slow reader costs lines, never time.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;

/// Lines that may wait for the writer: a second of a busy gateway.
const WAITING_LINES_MAX: usize = 16_384;

/// Bytes that are gathered before a write.
const BATCH_BYTES: usize = 64 * 1024;

/// One request, or one copied connection. Keys are stable.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    /// When it ended, RFC 3339.
    pub ts: String,
    /// `x-request-id`.
    pub request_id: String,
    /// Of `traceparent`.
    pub trace_id: String,
    /// The method; empty for copied connections.
    pub method: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// Without the query, which may hold secrets.
    pub path: String,
    /// HTTP version of the client's side.
    pub protocol: &'static str,
    /// Kind and name of the route.
    pub route: String,
    /// Its rule's place, or name.
    pub rule: String,
    /// The remote cluster, or empty for this one.
    pub cluster: String,
    /// Address or id of the endpoint.
    pub endpoint: String,
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
    pub client: String,
    /// SNI, where the client spoke TLS.
    pub sni: String,
}

/// Takes entries; never waits.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: Option<SyncSender<Entry>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Writes to `out` from a thread of its own, which ends with the last clone of this value.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING_LINES_MAX);
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || drain(&waiting, out))?;
        Ok(Self { lines: Some(lines), dropped: Arc::default() })
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Self { lines: None, dropped: Arc::default() }
    }

    /// Whether entries go anywhere: making one is not free.
    pub const fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Hands over an entry, or counts it as dropped where too many wait.
    pub fn write(&self, entry: Entry) {
        if let Some(lines) = &self.lines
            && lines.try_send(entry).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Writes what waits in batches; a failed write loses its batch and nothing else.
fn drain(waiting: &Receiver<Entry>, mut out: impl Write) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        while let Some(entry) = next {
            // A map of strings and numbers always serialises.
            if serde_json::to_writer(&mut batch, &entry).is_ok() {
                batch.push(b'\n');
            }
            next = if batch.len() < BATCH_BYTES { waiting.try_recv().ok() } else { None };
        }
        if let Err(error) = out.write_all(&batch).and_then(|()| out.flush()) {
            tracing::debug!(%error, "access log not written");
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests;
