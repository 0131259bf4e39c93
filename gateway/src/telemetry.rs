//! What is counted, logged and traced of the traffic.

mod access_log;
mod metrics;
mod trace;

pub use self::access_log::{AccessLog, Entry};
pub use self::metrics::{ConnectionKind, Metrics, OpenConnection, RequestLabels};
pub use self::trace::{RequestId, TraceParent};
