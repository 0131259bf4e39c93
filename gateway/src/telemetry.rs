//! What is counted, logged and traced of the traffic.

mod access_log;
mod metrics;
mod tally;
mod trace;

pub use self::access_log::{AccessLog, Entry};
pub use self::metrics::{ConnectionKind, Metrics, OpenConnection};
pub(crate) use self::tally::known_method;
pub use self::tally::{Answerer, RequestLabels, Tally};
pub use self::trace::{RequestId, TraceParent};
