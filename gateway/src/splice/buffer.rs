//! Moves bytes from one side to the other through memory of ours.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::memory::{LEAD_BYTES, receive_buffer};

/// Bytes on their way in one direction: some TLS records, which leave in one write.
const BUFFER_BYTES: usize = 64 * 1024;
/// How large such a buffer is.
const BUFFER: usize = LEAD_BYTES + BUFFER_BYTES;
/// Buffers that a thread keeps: those whose sink is slow need one each.
const SPARE_BUFFERS: usize = 16;

thread_local! {
    /// Buffers of this thread that nobody needs at the moment; all have `BUFFER`.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that are read and not written. Holds no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// What lies between, behind the lead, is read and not written.
    from: usize,
    to: usize,
    behind: Behind,
}

/// What the source said behind the bytes that are here. It says so once.
#[derive(Debug, Default)]
enum Behind {
    #[default]
    Nothing,
    End,
    Error(io::Error),
}

impl Buffer {
    /// Reads until the buffer is full or the source has nothing at the moment: what comes in pieces
    /// leaves in one. 0: the source has ended. Everything before must have been written.
    pub(super) fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            let spare = SPARE.with_borrow_mut(Vec::pop);
            self.bytes = spare.unwrap_or_else(|| receive_buffer(BUFFER_BYTES));
        }
        while let Behind::Nothing = self.behind {
            let mut room =
                ReadBuf::new(self.bytes.get_mut(LEAD_BYTES + self.to..).unwrap_or_default());
            if room.remaining() == 0 {
                break;
            }
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                Poll::Pending if self.to == 0 => {
                    self.give_back();
                    return Poll::Pending;
                }
                Poll::Pending => break,
                Poll::Ready(Err(error)) => self.behind = Behind::Error(error),
                Poll::Ready(Ok(())) if room.filled().is_empty() => self.behind = Behind::End,
                Poll::Ready(Ok(())) => self.to += room.filled().len(),
            }
        }
        if self.to > 0 {
            return Poll::Ready(Ok(self.to));
        }
        self.give_back();
        match std::mem::take(&mut self.behind) {
            Behind::Error(error) => Poll::Ready(Err(error)),
            Behind::Nothing | Behind::End => Poll::Ready(Ok(0)),
        }
    }

    /// Writes everything that was read.
    pub(super) fn poll_empty<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
        copied: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.unwritten() {
            let count = ready!(Pin::new(&mut *sink).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.from += count;
            copied.fetch_add(count as u64, Relaxed);
        }
        self.give_back();
        Poll::Ready(Ok(()))
    }

    fn unwritten(&self) -> Option<&[u8]> {
        self.bytes.get(LEAD_BYTES + self.from..LEAD_BYTES + self.to)
    }

    /// Whether the source may say more than is known here.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.behind, Behind::Nothing)
    }

    /// Lets go of the memory; nothing may be in it.
    fn give_back(&mut self) {
        debug_assert!(self.from == self.to, "what is in it would be lost");
        (self.from, self.to) = (0, 0);
        let bytes = std::mem::take(&mut self.bytes);
        SPARE.with_borrow_mut(|spare| {
            if bytes.len() == BUFFER && spare.len() < SPARE_BUFFERS {
                spare.push(bytes);
            }
        });
    }
}
