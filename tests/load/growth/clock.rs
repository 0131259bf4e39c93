//! What a thread and this process have used.

use std::fs;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// Seconds that this thread has been on a CPU.
pub(crate) fn thread_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "seconds of one run")]
    let (seconds, nanos) = (now.tv_sec as f64, now.tv_nsec as f64);
    seconds + nanos / 1e9
}

/// What `work` gives, and the CPU seconds that it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = thread_seconds();
    let done = work();
    (done, thread_seconds() - before)
}

/// Bytes of this process in memory.
pub(crate) fn resident_bytes() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(text.parse::<f64>()? * 1024.0)
}
