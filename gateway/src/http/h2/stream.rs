//! The two directions of one HTTP/2 stream.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};

use super::fields;
use crate::http::h1::{Alarm, Block, BodyEvent, ReadError, Waits, WriteError};

/// The receiving direction.
pub(crate) struct StreamReader {
    body: Option<RecvStream>,
    /// Lent out by the last call; given back to the peer's window by the next.
    lent: Bytes,
    done: bool,
    wait: Duration,
    alarm: Alarm,
}

impl StreamReader {
    /// Over the body of a request or an answer; `None` where there is none.
    pub(crate) const fn new(body: Option<RecvStream>, waits: Waits) -> Self {
        let (done, wait) = (body.is_none(), waits.body);
        Self { body, lent: Bytes::new(), done, wait, alarm: Alarm::new() }
    }

    /// The next piece. May be dropped while it waits, and called again.
    pub(crate) async fn next(&mut self) -> Result<BodyEvent<'_>, ReadError> {
        let Some(body) = self.body.as_mut().filter(|_| !self.done) else {
            return Ok(BodyEvent::End(Block::default()));
        };
        let lent = std::mem::take(&mut self.lent);
        give_back(body, lent.len());
        let data = |cx: &mut Context<'_>| body.poll_data(cx);
        match self.alarm.within(self.wait, data).await.ok_or(ReadError::TimedOut)? {
            Some(Ok(data)) => {
                self.done = body.is_end_stream();
                self.lent = data;
                if self.done {
                    // There is no next call, and the window of the connection is everybody's.
                    give_back(body, self.lent.len());
                    return Ok(BodyEvent::Last(&self.lent));
                }
                Ok(BodyEvent::Data(&self.lent))
            }
            Some(Err(error)) => Err(read_error(error)),
            None => {
                let trailers = |cx: &mut Context<'_>| body.poll_trailers(cx);
                let trailers = self.alarm.within(self.wait, trailers).await;
                let trailers = trailers.ok_or(ReadError::TimedOut)?.map_err(read_error)?;
                self.done = true;
                let block = trailers.map(|map| Block::trailers(fields::pairs(&map)));
                Ok(BodyEvent::End(block.transpose()?.unwrap_or_default()))
            }
        }
    }

    /// Lets go of what was lent last.
    pub(crate) fn let_go(&mut self) {
        self.lent = Bytes::new();
    }

    /// Whether the body has been read to its end.
    pub(crate) const fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the peer has announced the end of the stream.
    pub(crate) fn has_buffered(&self) -> bool {
        self.done || self.body.as_ref().is_some_and(RecvStream::is_end_stream)
    }
}

/// Opens the peer's window again.
fn give_back(body: &mut RecvStream, bytes: usize) {
    if bytes > 0 {
        // An error means that the stream is over, which the next read says better.
        let _released = body.flow_control().release_capacity(bytes);
    }
}

/// The sending direction.
pub(crate) struct StreamWriter {
    stream: SendStream<Bytes>,
    wait: Duration,
    ended: bool,
    alarm: Alarm,
}

impl StreamWriter {
    /// Over a stream whose head was sent; `ended` says that nothing follows.
    pub(crate) const fn new(stream: SendStream<Bytes>, waits: Waits, ended: bool) -> Self {
        Self { stream, wait: waits.write, ended, alarm: Alarm::new() }
    }

    /// Sends a piece as the peer's window opens.
    pub(crate) async fn data(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.send(data, false).await
    }

    /// The same, and the stream ends with it: in the same frame.
    pub(crate) async fn last(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.send(data, true).await?;
        self.finish(None)
    }

    async fn send(&mut self, data: &[u8], ends: bool) -> Result<(), WriteError> {
        if self.ended {
            return Ok(());
        }
        let mut left = data;
        while !left.is_empty() {
            self.stream.reserve_capacity(left.len());
            let capacity = |cx: &mut Context<'_>| self.stream.poll_capacity(cx);
            let granted = match self.alarm.within(self.wait, capacity).await {
                None => return Err(WriteError::TimedOut),
                Some(None) => return Err(WriteError::Io(io::ErrorKind::BrokenPipe.into())),
                Some(Some(granted)) => granted.map_err(write_error)?,
            };
            // Copied no earlier: while the peer is slow the bytes lie where they were read.
            let (piece, rest) = left.split_at(granted.min(left.len()));
            self.ended = ends && rest.is_empty();
            let piece = Bytes::copy_from_slice(piece);
            self.stream.send_data(piece, self.ended).map_err(write_error)?;
            left = rest;
        }
        Ok(())
    }

    /// Ends the stream.
    pub(crate) fn finish(&mut self, trailers: Option<&Block>) -> Result<(), WriteError> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        match trailers {
            Some(block) => self.stream.send_trailers(fields::trailers(block)?),
            None => self.stream.send_data(Bytes::new(), true),
        }
        .map_err(write_error)
    }

    /// Breaks the stream off.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Waits until the peer has broken the stream off.
    pub(crate) async fn reset_by_peer(&mut self) {
        poll_fn(|cx| match self.stream.poll_reset(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }
}

/// What an error of the `h2` crate means to a reader.
pub(crate) fn read_error(error: h2::Error) -> ReadError {
    if error.is_go_away() || error.is_reset() || error.is_library() {
        return ReadError::Truncated;
    }
    ReadError::Io(io_error(error))
}

/// What it means to a writer.
pub(crate) fn write_error(error: h2::Error) -> WriteError {
    WriteError::Io(io_error(error))
}

fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::new(io::ErrorKind::ConnectionReset, error)
    }
}
