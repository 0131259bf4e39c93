//! The two ends of a connection: bytes read and not yet taken, bytes gathered and not yet written.
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits;
use crate::memory::{LEAD_BYTES, receive_buffer};

/// How large buffers are that are kept for the next connection.
const READ_BUFFER: usize = LEAD_BYTES + limits::READ_BYTES;
const BULK_BUFFER: usize = LEAD_BYTES + limits::BULK_BYTES;

thread_local! {
    /// Receive buffers that no connection needs at the moment; all have `READ_BUFFER`.
    static READ: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// The same for much; all have `BULK_BUFFER`.
    static BULK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// The same for writing; all are empty.
    static WRITE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes from a peer. Holds no buffer while it waits with nothing read.
#[derive(Debug)]
pub(crate) struct Input<R> {
    io: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Whether the last read where much was welcome brought much: the next begins with a large buffer.
    flows: bool,
    /// What was met behind the bytes that are here, and has not been told.
    broken: Option<io::Error>,
}

impl<R: AsyncRead + Unpin> Input<R> {
    pub(crate) const fn new(io: R) -> Self {
        Self { io, buffer: Vec::new(), start: 0, end: 0, ended: false, flows: false, broken: None }
    }

    /// The same behind what was read already.
    pub(crate) fn behind(self, ahead: Vec<u8>) -> Self {
        Self { end: ahead.len(), buffer: ahead, ..self }
    }

    /// Where bytes come from.
    pub(crate) const fn io(&mut self) -> &mut R {
        &mut self.io
    }

    /// What was read and not taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Reads once, behind what is there. 0: the peer has ended, or the buffer is full.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.flows = false;
        self.poll_once(cx)
    }

    #[inline(never)]
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended || self.is_full() {
            return Poll::Ready(Ok(0));
        }
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        if self.start == self.end {
            return self.poll_first(cx);
        }
        self.make_room();
        let mut room = ReadBuf::new(self.buffer.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        self.ended = count == 0;
        Poll::Ready(Ok(count))
    }

    /// Reads once, and where that fills the buffer goes on for as long as there is more: what comes in
    /// pieces leaves in one.
    pub(crate) fn poll_fill_much(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut count = ready!(self.poll_once(cx))?;
        if count == limits::READ_BYTES && self.buffer.len() == READ_BUFFER {
            self.make_much_room();
        }
        let is_large = self.buffer.len() == BULK_BUFFER;
        while is_large && !self.ended && self.end < self.buffer.len() {
            match self.poll_once(cx) {
                Poll::Ready(Ok(more)) => count += more,
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.flows = count > limits::READ_BYTES;
        Poll::Ready(Ok(count))
    }

    fn make_much_room(&mut self) {
        let spare = BULK.with_borrow_mut(Vec::pop);
        let mut large = spare.unwrap_or_else(|| receive_buffer(limits::BULK_BYTES));
        let end = LEAD_BYTES + self.end - self.start;
        if let Some(room) = large.get_mut(LEAD_BYTES..end) {
            room.copy_from_slice(self.bytes());
        }
        (self.start, self.end) = (LEAD_BYTES, end);
        self.replace_buffer(large);
    }

    /// Lets go of the buffer for another, or none.
    fn replace_buffer(&mut self, other: Vec<u8>) {
        let buffer = std::mem::replace(&mut self.buffer, other);
        match buffer.len() {
            READ_BUFFER => READ.with_borrow_mut(|spare| keep(spare, buffer)),
            BULK_BUFFER => BULK.with_borrow_mut(|spare| keep(spare, buffer)),
            _ => {}
        }
    }

    /// Reads while nothing is there. A buffer that is spare becomes this connection's only when
    /// something has come: most reads find nothing.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        (self.start, self.end) = (LEAD_BYTES, LEAD_BYTES);
        if !self.buffer.is_empty() {
            self.replace_buffer(Vec::new());
        }
        let (spare, bytes) =
            if self.flows { (&BULK, limits::BULK_BYTES) } else { (&READ, limits::READ_BYTES) };
        spare.with_borrow_mut(|spare| {
            if spare.is_empty() {
                spare.push(receive_buffer(bytes));
            }
            let Some(buffer) = spare.last_mut() else { return Poll::Ready(Ok(0)) };
            let mut room = ReadBuf::new(buffer.get_mut(LEAD_BYTES..).unwrap_or_default());
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
            let count = room.filled().len();
            if count == 0 {
                self.ended = true;
            } else {
                self.end += count;
                self.buffer = spare.pop().unwrap_or_default();
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Whether nothing more fits.
    pub(crate) const fn is_full(&self) -> bool {
        self.end - self.start >= limits::INPUT_BYTES
    }

    pub(crate) fn into_parts(self) -> (R, Vec<u8>) {
        let rest = self.bytes().to_vec();
        (self.io, rest)
    }

    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        } else {
            let more = (self.end * 2).clamp(limits::READ_BYTES, limits::INPUT_BYTES);
            self.buffer.resize(more, 0);
        }
    }
}

/// Bytes for a peer. Holds no buffer when everything is written.
#[derive(Debug)]
pub(crate) struct Output<W> {
    io: W,
    buffer: Vec<u8>,
    written: usize,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    pub(crate) const fn new(io: W) -> Self {
        Self { io, buffer: Vec::new(), written: 0 }
    }

    /// Where to append.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            let spare = WRITE.with_borrow_mut(Vec::pop);
            self.buffer = spare.unwrap_or_else(|| Vec::with_capacity(limits::WRITE_BYTES));
        }
        &mut self.buffer
    }

    /// Bytes gathered.
    pub(crate) const fn len(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Writes everything that was gathered, and flushes the layer below.
    #[inline(never)]
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.buffer.len() {
            let rest = self.buffer.get(self.written..).unwrap_or_default();
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.written = 0;
        self.buffer.clear();
        let buffer = std::mem::take(&mut self.buffer);
        if (limits::WRITE_BYTES..=2 * limits::WRITE_BYTES).contains(&buffer.capacity()) {
            WRITE.with_borrow_mut(|spare| keep(spare, buffer));
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Writes once, straight from `data`; only when nothing is gathered.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.io).poll_write(cx, data))? {
            0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Says to the peer that nothing more comes.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    pub(crate) fn into_io(self) -> W {
        self.io
    }
}

/// Keeps a buffer for the next connection.
fn keep(spare: &mut Vec<Vec<u8>>, buffer: Vec<u8>) {
    if spare.len() < limits::SPARE_BUFFERS {
        spare.push(buffer);
    }
}

#[cfg(test)]
mod tests;
