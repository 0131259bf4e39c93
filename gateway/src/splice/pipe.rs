//! Moves bytes between two sockets within the kernel, through a pipe.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

/// Pipes of all workers together: each has two descriptors and up to [`PIPE_BYTES`] of the
/// kernel's memory. A direction that gets none copies.
const PIPES_MAX: usize = 256;
/// Bytes that a pipe may hold. With this, all pipes together are just what Linux lets one user
/// have (`pipe-user-pages-soft`).
const PIPE_BYTES: usize = 256 * 1024;
/// Empty pipes that a thread keeps: those whose sink is slow need one each.
const SPARE_PIPES: usize = 16;

/// Pipes that are open.
static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Empty pipes of this thread.
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    _counted: Counted,
}

/// Counts a pipe until it is closed.
#[derive(Debug)]
pub(super) struct Counted;

impl Pipe {
    /// An empty pipe, if there is one to be had.
    pub(super) fn take() -> Option<Self> {
        SPARE.with_borrow_mut(Vec::pop).or_else(|| {
            let counted = Counted::within(PIPES_MAX)?;
            let (read, write) = system::pipe(PIPE_BYTES).ok()?;
            Some(Self { read, write, held: 0, _counted: counted })
        })
    }

    /// Keeps an empty pipe for the next who needs one.
    pub(super) fn give_back(self) {
        debug_assert!(self.held == 0, "what is in it would come out at somebody else's");
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }

    /// Takes from `source` what is there. 0: it has ended. The pipe must be empty, since a full one
    /// looks like a source that has nothing.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.held == 0, "a full pipe looks like a source that has nothing");
        loop {
            ready!(source.poll_read_ready(cx))?;
            let moved = source
                .try_io(Interest::READABLE, || system::splice(source, &self.write, PIPE_BYTES));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                moved => {
                    self.held = *moved.as_ref().unwrap_or(&0);
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Gives all that is in it to `sink`.
    pub(super) fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        sink: &TcpStream,
        copied: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        while self.held > 0 {
            ready!(sink.poll_write_ready(cx))?;
            let moved =
                sink.try_io(Interest::WRITABLE, || system::splice(&self.read, sink, self.held));
            match moved {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.held -= count;
                    copied.fetch_add(count as u64, Relaxed);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Counted {
    /// One more, unless there are `most`.
    pub(super) fn within(most: usize) -> Option<Self> {
        let more = |open| (open < most).then_some(open + 1);
        OPEN.fetch_update(Relaxed, Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// Empty pipes of this thread.
#[cfg(test)]
pub(super) fn spare() -> usize {
    SPARE.with_borrow(Vec::len)
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::pipe::{self, PipeFlags, SpliceFlags};

    pub(super) fn pipe(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
        let (read, write) = pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        if let Err(error) = pipe::fcntl_setpipe_size(&write, bytes) {
            // It stays as large as Linux makes it, and only holds less.
            tracing::debug!(%error, "a pipe could not be made larger");
        }
        Ok((read, write))
    }

    pub(super) fn splice(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(pipe::splice(from, None, to, None, most, flags)?)
    }
}

/// Elsewhere there is no pipe to be had, and bytes are copied.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    pub(super) fn pipe(_bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn splice(_from: &impl AsFd, _to: &impl AsFd, _most: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
