//! CPU time of the measured processes, and how busy the cores are, at one moment.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

/// A jiffy as `/proc/stat` tells it (`USER_HZ`).
const JIFFY_NS: u64 = 10_000_000;

/// What was seen at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Nanoseconds on a CPU by process and thread.
    threads: HashMap<(u32, String), u64>,
    at: Instant,
    /// Jiffies that the load's core had nothing to do.
    idle: u64,
    /// Jiffies that the hypervisor took, and cores that it took them of.
    stolen: u64,
    cores: u64,
    /// Nanoseconds of this process.
    own: u64,
}

/// What happened between two samples.
#[derive(Debug, Serialize)]
pub(crate) struct Spent {
    /// Nanoseconds of each watched process, in the order of the arguments.
    cpu_ns: Vec<u64>,
    /// Nanoseconds of the load itself.
    own_ns: u64,
    /// Nanoseconds that the load's core was busy, and all.
    core: [u64; 2],
    /// Nanoseconds that the hypervisor took of any core, and all of them.
    stolen: [u64; 2],
}

impl Sample {
    /// Looks at these processes and at this core.
    ///
    /// Of a core only the idle time is measured by the kernel: where it was busy it looks every few
    /// milliseconds, always at the same point of a tick of ours, and tells the share of time wrong.
    pub(crate) fn take(watched: &[u32], core: usize) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for &process in watched {
            for (thread, spent) in spent(&process.to_string())? {
                threads.insert((process, thread), spent);
            }
        }
        let own = spent("self")?.into_iter().map(|(_, spent)| spent).sum();
        let stat = fs::read_to_string("/proc/stat")?;
        let cores = stat.lines().filter(|line| line.starts_with("cpu")).count() as u64 - 1;
        let of = |name: &str| {
            let line = stat.lines().find(|line| line.split(' ').next() == Some(name));
            let fields = line.into_iter().flat_map(|line| line.split_whitespace().skip(1).take(8));
            fields.filter_map(|field| field.parse().ok()).collect::<Vec<u64>>()
        };
        // user nice system idle iowait irq softirq steal
        let [_, _, _, idle, wait, _, _, _] = of(&format!("cpu{core}"))[..] else {
            anyhow::bail!("no core {core}")
        };
        let stolen = of("cpu").last().copied().unwrap_or_default();
        Ok(Self { threads, at: Instant::now(), idle: idle + wait, stolen, cores, own })
    }

    /// What was spent since `before`. A thread that began in between counts whole.
    pub(crate) fn since(&self, before: &Self, watched: &[u32]) -> Spent {
        let of = |process: u32| {
            let mine = self.threads.iter().filter(move |((it, _), _)| *it == process);
            mine.map(|(key, now)| now - before.threads.get(key).copied().unwrap_or_default()).sum()
        };
        let wall = u64::try_from((self.at - before.at).as_nanos()).unwrap_or(u64::MAX);
        // Time that the kernel counted as waiting for a disk may be less when it is read again.
        let idle = self.idle.saturating_sub(before.idle) * JIFFY_NS;
        Spent {
            cpu_ns: watched.iter().map(|process| of(*process)).collect(),
            own_ns: self.own - before.own,
            core: [wall.saturating_sub(idle), wall],
            stolen: [(self.stolen - before.stolen) * JIFFY_NS, wall * self.cores],
        }
    }
}

/// The threads of a process with the nanoseconds that each was on a CPU.
fn spent(process: &str) -> anyhow::Result<Vec<(String, u64)>> {
    let tasks = format!("/proc/{process}/task");
    let mut threads = Vec::new();
    for task in fs::read_dir(&tasks).with_context(|| format!("process {process} has ended"))? {
        let name = task?.file_name().to_string_lossy().into_owned();
        // A thread may end while we look.
        let Ok(text) = fs::read_to_string(format!("{tasks}/{name}/schedstat")) else { continue };
        let spent = text.split(' ').next().and_then(|number| number.parse().ok());
        threads.push((name, spent.context("schedstat begins with a number")?));
    }
    Ok(threads)
}
