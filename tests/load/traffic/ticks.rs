//! A clock that ticks every 250 µs. The runtime's own timers are only exact to a millisecond.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Between two ticks.
pub(crate) const TICK: Duration = Duration::from_micros(250);

/// Ticks at fixed times from its start on; late ones are made up for.
#[derive(Debug)]
pub(crate) struct Ticks {
    timer: Receiver,
    began: Instant,
    seen: u32,
    expired: u64,
}

impl Ticks {
    /// Starts now.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let every = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        let setting = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        // Read as a pipe is: a type that waits for readable files, whatever they are.
        let timer = Receiver::from_file_unchecked(File::from(timer))?;
        Ok(Self { timer, began: Instant::now(), seen: 0, expired: 0 })
    }

    /// Waits for the next tick and tells when it was due.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Instant> {
        while self.expired <= u64::from(self.seen) {
            // A count has 8 bytes; a read that fills its buffer would be followed by another, in vain.
            let mut count = [0; 16];
            let read = self.timer.read(&mut count).await?;
            let (count, _) = count
                .split_first_chunk()
                .filter(|_| read == 8)
                .context("the timer gave no count")?;
            self.expired += u64::from_ne_bytes(*count);
        }
        self.seen += 1;
        Ok(self.began + TICK * self.seen)
    }
}

/// Waits until then.
pub(crate) async fn until(at: Instant) -> anyhow::Result<()> {
    let left = at.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(());
    }
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let value = Timespec {
        tv_sec: i64::try_from(left.as_secs())?,
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let once = Itimerspec { it_interval: Timespec::default(), it_value: value };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    let mut timer = Receiver::from_file_unchecked(File::from(timer))?;
    timer.read_exact(&mut [0; 8]).await?;
    Ok(())
}
