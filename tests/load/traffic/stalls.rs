//! How long this thread was not run although it should have been. Started as what comes first on a
//! core, it tells when the core itself stood still, which a hypervisor reports only in part.

use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(1);
/// A wake-up that is not later than this is merely late.
const LATE: Duration = Duration::from_micros(300);

/// Prints µs, one moment a line, until nobody reads them.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    loop {
        let due = Instant::now() + EVERY;
        sleep(EVERY);
        let late = due.elapsed();
        if late > LATE {
            writeln!(out, "{}", late.as_micros())?;
            out.flush()?;
        }
    }
}
