//! One of the two directions of a copy.

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::Fault;
use super::buffer::Buffer;
use super::pipe::Pipe;
use crate::tls::stream::Socket;
use crate::upstream::tcp;

/// Bytes from which on what comes at once is much: then a pipe costs less than to copy, and for
/// less it costs more.
pub(super) const MUCH_BYTES: usize = 16 * 1024;
/// Bytes that one direction moves before others of the worker have their turn.
const TURN_BYTES: usize = 1024 * 1024;

/// One direction. While it waits for its source it holds neither memory nor a pipe.
#[derive(Debug, Default)]
pub(super) struct Direction {
    buffer: Buffer,
    pipe: Option<Pipe>,
    /// What came at once, lately.
    came: usize,
    /// Whether the sink was told that much will come.
    told: bool,
    unflushed: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has ended; the sink has not been told.
    Ending,
    Ended,
}

impl Direction {
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Moves what there is. Behind the last direction that ends both connections are dropped.
    pub(super) fn poll<R: Socket, W: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        (copied, is_last): (&AtomicU64, bool),
    ) -> Poll<Result<(), Fault>> {
        let mut moved = 0;
        while self.state == State::Open {
            ready!(self.poll_empty(cx, sink, copied))?;
            if moved >= TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.poll_fill(cx, source, sink)? {
                Poll::Ready(0) => self.state = State::Ending,
                Poll::Ready(count) => moved += count,
                Poll::Pending => {
                    ready!(self.poll_flush(cx, sink))?;
                    return Poll::Pending;
                }
            }
        }
        if self.state == State::Ending {
            // A drop ends a connection without TLS that has nothing unread, and that is one call less.
            if !is_last || sink.plain().is_none() {
                ready!(Pin::new(sink).poll_shutdown(cx)).map_err(Fault::Write)?;
            }
            self.state = State::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was read.
    fn poll_empty<W: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
        copied: &AtomicU64,
    ) -> Poll<Result<(), Fault>> {
        if let (Some(pipe), Some(sink)) = (&mut self.pipe, sink.plain()) {
            ready!(pipe.poll_empty(cx, sink, copied)).map_err(Fault::Write)?;
        }
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
        self.buffer.poll_empty(cx, sink, copied).map_err(Fault::Write)
    }

    /// Reads into a pipe where much comes, else into memory. All before is written.
    fn poll_fill<R: Socket, W: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &W,
    ) -> Result<Poll<usize>, Fault> {
        let much = self.came >= MUCH_BYTES && self.buffer.is_open();
        let piped = match (source.plain(), sink.plain()) {
            (Some(source), Some(sink)) if much => {
                if !std::mem::replace(&mut self.told, true) {
                    tcp::carry_much(sink);
                }
                self.poll_fill_pipe(cx, source)
            }
            _ => None,
        };
        let filled = piped.unwrap_or_else(|| self.buffer.poll_fill(cx, source));
        let Poll::Ready(filled) = filled else { return Ok(Poll::Pending) };
        self.came = filled.map_err(Fault::Read)?;
        self.unflushed |= self.came > 0;
        Ok(Poll::Ready(self.came))
    }

    /// `None`: there is no pipe to be had.
    fn poll_fill_pipe(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
    ) -> Option<Poll<io::Result<usize>>> {
        let mut pipe = Pipe::take()?;
        let filled = pipe.poll_fill(cx, source);
        if matches!(filled, Poll::Ready(Ok(1..))) {
            self.pipe = Some(pipe);
            return Some(filled);
        }
        pipe.give_back();
        match filled {
            // A system without this call has taken nothing.
            Poll::Ready(Err(error)) if is_unknown(&error) => None,
            filled => Some(filled),
        }
    }

    /// A source that pauses: what was written must not wait for what comes next.
    fn poll_flush<W: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut W,
    ) -> Poll<Result<(), Fault>> {
        if self.unflushed {
            ready!(Pin::new(sink).poll_flush(cx)).map_err(Fault::Write)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// What systems answer that do not move bytes between a pipe and such a socket.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
