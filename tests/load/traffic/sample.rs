//! CPU time of the measured processes, and how busy the cores are, at one moment.

use std::collections::HashMap;
use std::fs;

use anyhow::Context as _;
use serde::Serialize;

/// What was seen at one moment.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Nanoseconds on a CPU by process and thread.
    threads: HashMap<(u32, String), u64>,
    /// Jiffies of the load's core: busy, all, and stolen of both cores.
    core: [u64; 3],
    /// Jiffies of both cores.
    all: u64,
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
    /// Jiffies that the load's core was busy, and all.
    core: [u64; 2],
    /// Jiffies that the hypervisor took of any core, and all.
    stolen: [u64; 2],
}

impl Sample {
    /// Looks at these processes and at this core.
    pub(crate) fn take(watched: &[u32], core: usize) -> anyhow::Result<Self> {
        let mut threads = HashMap::new();
        for &process in watched {
            for (thread, spent) in spent(&process.to_string())? {
                threads.insert((process, thread), spent);
            }
        }
        let own = spent("self")?.into_iter().map(|(_, spent)| spent).sum();
        let stat = fs::read_to_string("/proc/stat")?;
        let of = |name: &str| {
            let line = stat.lines().find(|line| line.split(' ').next() == Some(name));
            let fields = line.into_iter().flat_map(|line| line.split_whitespace().skip(1).take(8));
            fields.filter_map(|field| field.parse().ok()).collect::<Vec<u64>>()
        };
        let (one, both) = (of(&format!("cpu{core}")), of("cpu"));
        // user nice system idle iowait irq softirq steal
        let [.., idle, wait, _, _, _] = one[..] else { anyhow::bail!("no core {core}") };
        let all: u64 = one.iter().sum();
        let steal = both.last().copied().unwrap_or_default();
        Ok(Self { threads, core: [all - idle - wait, all, steal], all: both.iter().sum(), own })
    }

    /// What was spent since `before`. A thread that began in between counts whole.
    pub(crate) fn since(&self, before: &Self, watched: &[u32]) -> Spent {
        let of = |process: u32| {
            let mine = self.threads.iter().filter(move |((it, _), _)| *it == process);
            mine.map(|(key, now)| now - before.threads.get(key).copied().unwrap_or_default()).sum()
        };
        Spent {
            cpu_ns: watched.iter().map(|process| of(*process)).collect(),
            own_ns: self.own - before.own,
            core: [self.core[0] - before.core[0], self.core[1] - before.core[1]],
            stolen: [self.core[2] - before.core[2], self.all - before.all],
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
