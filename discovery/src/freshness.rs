//! Says how far what we know of a linked cluster can be believed.

use std::time::Duration;

use config::api::cluster_link::Staleness;
use tokio::time::Instant;

use crate::catalog::server::HEARTBEAT;

/// Without a word for so long a cluster's state is stale: three heartbeats, so that one that is
/// late or lost does not count.
pub const SILENCE_MAX: Duration = HEARTBEAT.saturating_mul(3);
/// A far cluster whose own watches are older than this does not know its own endpoints: a watch
/// that lives hears a bookmark each minute.
pub const FAR_AGE_MAX: Duration = Duration::from_mins(2);

/// What was last heard of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// How old the oldest of the cluster's own watches was then.
    pub age: Duration,
}

/// How far what we know of a cluster can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Freshness {
    /// It holds.
    Fresh,
    /// It held until then.
    Stale {
        /// When it was last known to hold.
        since: Instant,
    },
    /// Nothing was ever heard, or too long ago: the link's staleness policy applies.
    #[default]
    Lost,
}

impl Freshness {
    /// The word for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fresh => "Fresh",
            Self::Stale { .. } => "Stale",
            Self::Lost => "Lost",
        }
    }
}

/// The freshness at `now`, and when it changes next if nothing is heard.
pub fn freshness(
    heard: Option<Heard>,
    policy: &Staleness,
    now: Instant,
) -> (Freshness, Option<Instant>) {
    let Some(Heard { at, age }) = heard else { return (Freshness::Lost, None) };
    let since = at.checked_sub(age).unwrap_or(at);
    let stale_at = if age > FAR_AGE_MAX { since } else { at + SILENCE_MAX };
    let lost_at = (since + Duration::from_secs(policy.keep_for_seconds.into())).max(stale_at);
    if now < stale_at {
        (Freshness::Fresh, Some(stale_at))
    } else if now < lost_at {
        (Freshness::Stale { since }, Some(lost_at))
    } else {
        (Freshness::Lost, None)
    }
}

/// How old what we know is at `now`.
pub fn age(heard: Option<Heard>, now: Instant) -> Option<Duration> {
    heard.map(|heard| now.saturating_duration_since(heard.at) + heard.age)
}

#[cfg(test)]
mod tests;
