//! Copies bytes both ways between two connections.
//!
//! An end on one side becomes an end on the other; anything else becomes an abort there, so that
//! nobody takes a cut stream for a whole one. Between two plain connections what comes in large
//! portions never leaves the kernel.

mod buffer;
mod direction;
mod pipe;

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;

use self::direction::Direction;
use crate::tls::stream::Socket;
use crate::upstream::tcp;

#[cfg(test)]
mod tests;

/// How long neither direction may move: two hours, as for other layer 4 balancers; dead peers
/// are found much sooner, by keep-alive and user timeout.
pub const IDLE_MAX: Duration = Duration::from_hours(2);
/// How long one direction may be alone and still: the other side went, and may have forgotten.
pub const HALF_CLOSED_IDLE_MAX: Duration = Duration::from_mins(10);
/// How often the idle time is looked at: one timer for both directions, not one for each read.
const LOOKS: u32 = 16;
/// How long a copy goes on before its endpoint is watched over. Few do.
const WATCHED_AFTER: Duration = Duration::from_secs(5);

/// What is done when one side has ended its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnHalfClose {
    /// The other direction goes on until it ends too.
    GoOn,
    /// The whole ends once what was read is written.
    End,
}

/// Bytes copied so far; readable whatever happened.
#[derive(Debug, Default)]
pub struct Copied {
    up: AtomicU64,
    down: AtomicU64,
}

impl Copied {
    /// From the first side to the second.
    pub fn up(&self) -> u64 {
        self.up.load(Relaxed)
    }

    /// From the second side to the first.
    pub fn down(&self) -> u64 {
        self.down.load(Relaxed)
    }
}

/// Why a copy did not end by itself. Both connections were aborted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Broken {
    /// The first side broke.
    #[error("the client's side broke: {0}")]
    Client(#[source] io::Error),
    /// The second side broke.
    #[error("the endpoint's side broke: {0}")]
    Endpoint(#[source] io::Error),
    /// Neither side moved.
    #[error("no byte moved for {0:?}")]
    Idle(Duration),
}

/// How a copy is done.
#[derive(Clone, Copy, Debug)]
pub struct Splice {
    /// What is done when one side has ended.
    pub on_half_close: OnHalfClose,
    /// How long neither direction may move.
    pub idle: Duration,
    /// The same once one side has ended.
    pub half_closed_idle: Duration,
}

impl Default for Splice {
    fn default() -> Self {
        Self {
            on_half_close: OnHalfClose::GoOn,
            idle: IDLE_MAX,
            half_closed_idle: HALF_CLOSED_IDLE_MAX,
        }
    }
}

/// Copies until both sides have ended, or one breaks, or the caller gives up: then both are
/// aborted. The endpoint may have been [dialled briefly](tcp::dial_briefly).
pub async fn splice<A: Socket, B: Socket>(
    client: A,
    endpoint: B,
    how: Splice,
    copied: &Copied,
) -> Result<(), Broken> {
    let mut pair = Pair {
        client,
        endpoint,
        up: Direction::default(),
        down: Direction::default(),
        ended: false,
    };
    if let Some(done) = pair.copy_for(WATCHED_AFTER, how.on_half_close, copied).await {
        return done;
    }
    tcp::watch_over(pair.endpoint.tcp());
    let mut still = 0;
    let mut before = (copied.up(), copied.down());
    loop {
        let idle = if pair.is_half_closed() { how.half_closed_idle } else { how.idle };
        if let Some(done) = pair.copy_for(idle / LOOKS, how.on_half_close, copied).await {
            return done;
        }
        let now = (copied.up(), copied.down());
        still = if now == before { still + 1 } else { 0 };
        before = now;
        if still >= LOOKS {
            return Err(Broken::Idle(idle));
        }
    }
}

struct Pair<A: Socket, B: Socket> {
    client: A,
    endpoint: B,
    up: Direction,
    down: Direction,
    /// Both sides have got all that the other said, and its end.
    ended: bool,
}

impl<A: Socket, B: Socket> Pair<A, B> {
    fn is_half_closed(&self) -> bool {
        self.up.is_ended() || self.down.is_ended()
    }

    /// `None`: it goes on.
    async fn copy_for(
        &mut self,
        time: Duration,
        on_half_close: OnHalfClose,
        copied: &Copied,
    ) -> Option<Result<(), Broken>> {
        let done = poll_fn(|cx| self.poll(cx, on_half_close, copied));
        let done = tokio::time::timeout(time, done).await.ok()?;
        self.ended = done.is_ok();
        Some(done)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        on_half_close: OnHalfClose,
        copied: &Copied,
    ) -> Poll<Result<(), Broken>> {
        let Self { client, endpoint, up, down, .. } = self;
        let up = up.poll(cx, client, endpoint, (&copied.up, down.is_ended()));
        let up = up.map_err(|fault| match fault {
            Fault::Read(error) => Broken::Client(error),
            Fault::Write(error) => Broken::Endpoint(error),
        })?;
        let down = down.poll(cx, endpoint, client, (&copied.down, up.is_ready()));
        let down = down.map_err(|fault| match fault {
            Fault::Read(error) => Broken::Endpoint(error),
            Fault::Write(error) => Broken::Client(error),
        })?;
        let ended = match on_half_close {
            OnHalfClose::GoOn => up.is_ready() && down.is_ready(),
            OnHalfClose::End => up.is_ready() || down.is_ready(),
        };
        if ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<A: Socket, B: Socket> Drop for Pair<A, B> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        for armed in [self.client.arm_reset(), self.endpoint.arm_reset()] {
            if let Err(error) = armed {
                tracing::debug!(%error, "connection was gone before its abort");
            }
        }
    }
}

/// Which end of a direction broke.
enum Fault {
    Read(io::Error),
    Write(io::Error),
}
