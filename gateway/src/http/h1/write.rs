//! Writes messages to one direction of a connection.
use std::io;
use std::task::Context;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::body::{Encoder, LengthBroken};
use super::buffer::Output;
use super::edit::{self, Change};
use super::head::{Block, ReplyTo, RequestHead, ResponseHead, Version};
use super::limits::{self, Waits};
use super::malformed::Malformed;

/// Why a message could not be written. The connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The connection broke.
    #[error("connection broken: {0}")]
    Io(#[from] io::Error),
    /// The body is not as long as the head said.
    #[error("{0}")]
    Length(#[from] LengthBroken),
    /// The head would break a rule; nothing of it was written.
    #[error("malformed change: {0}")]
    Malformed(#[from] Malformed),
    /// The peer did not take it in time.
    #[error("peer is too slow")]
    TimedOut,
}

/// The writing direction of a connection. Gathers small pieces; what is gathered leaves with [`Writer::flush`], with
/// the end of a message, or when it is much. A write that was dropped half-way leaves the connection unusable.
#[derive(Debug)]
pub struct Writer<W> {
    output: Output<W>,
    encoder: Encoder,
    /// A head was written whose body has not ended.
    open: bool,
    keep_alive: bool,
    /// Bytes of bodies that were taken since the peer had to be waited for long.
    flowed: usize,
    wait: Duration,
    alarm: Alarm,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// A writer that holds no buffer until something is written.
    pub const fn new(io: W, waits: Waits) -> Self {
        Self {
            output: Output::new(io),
            encoder: Encoder::Length(0),
            open: false,
            keep_alive: true,
            flowed: 0,
            wait: waits.write,
            alarm: Alarm::new(),
        }
    }

    /// Gathers the head of a request. `target` replaces its own.
    pub fn start_request(
        &mut self,
        head: &RequestHead,
        target: Option<&str>,
        changes: &[Change<'_>],
    ) -> Result<(), WriteError> {
        let buffer = self.output.buffer();
        let before = buffer.len();
        let written = edit::write_request(head, target, changes, buffer);
        // All of a head or nothing.
        self.encoder = written.inspect_err(|_| buffer.truncate(before))?;
        self.open = true;
        Ok(())
    }

    /// Gathers the head of the final answer (or of a 101).
    pub fn start_response(&mut self, head: &ResponseHead, to: ReplyTo, changes: &[Change<'_>]) {
        self.encoder = edit::write_response(head, to, changes, self.output.buffer());
        self.keep_alive = to.keep_alive && self.encoder != Encoder::UntilClose;
        self.open = true;
    }

    /// Writes an interim answer at once; a client of 1.0 does not get it.
    pub async fn interim(&mut self, head: &ResponseHead, to: ReplyTo) -> Result<(), WriteError> {
        if to.version == Version::Http10 {
            return Ok(());
        }
        edit::write_response(head, to, &[], self.output.buffer());
        self.flush().await
    }

    /// Writes a part of the body, or gathers it if it is small.
    pub async fn write_data(&mut self, data: &[u8]) -> Result<(), WriteError> {
        if self.encoder.discards() || data.is_empty() {
            return Ok(());
        }
        self.encoder.before(data, self.output.buffer())?;
        let after = self.encoder.after(data);
        let straight = self.output.len() == 0 && data.len() >= limits::WRITE_BYTES / 2;
        if straight || data.len() > limits::WRITE_BYTES {
            self.flush().await?;
            self.write_straight(data).await?;
            if !after.is_empty() {
                self.output.buffer().extend_from_slice(after);
            }
            return Ok(());
        }
        let buffer = self.output.buffer();
        buffer.extend_from_slice(data);
        buffer.extend_from_slice(after);
        if self.output.len() >= limits::WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Whether the peer takes much, and as fast as it comes.
    pub const fn is_fast(&self) -> bool {
        self.flowed >= limits::FAST_BYTES
    }

    /// Writes what is gathered.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        let flush = |cx: &mut Context<'_>| self.output.poll_flush(cx);
        in_time(self.alarm.within(self.wait, flush).await)
    }

    /// Ends the body and writes what is gathered. Trailers go where the framing has room for them.
    pub async fn finish(&mut self, trailers: Option<&Block>) -> Result<(), WriteError> {
        if self.open {
            self.encoder.end(trailers, self.output.buffer())?;
            self.open = false;
        }
        self.flush().await
    }

    /// Whether a message has begun and not ended.
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether another message may follow what was written.
    pub const fn keeps_alive(&self) -> bool {
        self.keep_alive && !self.open
    }

    /// Says to the peer that nothing more comes.
    pub async fn shutdown(&mut self) -> Result<(), WriteError> {
        self.flush().await?;
        let end = |cx: &mut Context<'_>| self.output.poll_shutdown(cx);
        in_time(self.alarm.within(self.wait, end).await)
    }

    /// The stream; what is gathered and not flushed is lost.
    pub fn into_io(self) -> W {
        self.output.into_io()
    }

    async fn write_straight(&mut self, mut data: &[u8]) -> Result<(), WriteError> {
        while !data.is_empty() {
            let mut since = None;
            let write = |cx: &mut Context<'_>| {
                let polled = self.output.poll_write(cx, data);
                if polled.is_pending() {
                    since.get_or_insert_with(Instant::now);
                }
                polled
            };
            let count = in_time(self.alarm.within(self.wait, write).await)?;
            if since.is_some_and(|since: Instant| since.elapsed() > limits::FAST_WAIT) {
                self.flowed = 0;
            }
            self.flowed = self.flowed.saturating_add(count);
            data = data.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}

fn in_time<T>(result: Option<io::Result<T>>) -> Result<T, WriteError> {
    result.ok_or(WriteError::TimedOut)?.map_err(WriteError::Io)
}

#[cfg(test)]
mod tests;
