//! Whether to claim a Lease, and what is written into it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

use super::LEASE;

/// What a Lease said when it was last seen to change.
#[derive(Debug, PartialEq)]
pub(super) struct Observed {
    holder: Option<String>,
    renewed: Option<MicroTime>,
    since: Instant,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Claim(Claim),
    Wait,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Create,
    Replace,
}

/// Decides from what the Lease says, and from how long it has said the same.
pub(super) fn decide(
    lease: Option<&Lease>,
    identity: &str,
    seen: &mut Option<Observed>,
    now: Instant,
) -> Step {
    let Some(lease) = lease else { return Step::Claim(Claim::Create) };
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
    let same =
        seen.as_ref().is_some_and(|seen| seen.holder == holder && seen.renewed == spec.renew_time);
    if !same {
        *seen = Some(Observed { holder: holder.clone(), renewed: spec.renew_time, since: now });
    }
    let silent = seen.as_ref().map_or(Duration::ZERO, |seen| now.duration_since(seen.since));
    let patience = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    match holder {
        Some(holder) if holder != identity => {
            let patience = patience.map_or(LEASE, Duration::from_secs);
            if silent >= patience { Step::Claim(Claim::Replace) } else { Step::Wait }
        }
        _ => Step::Claim(Claim::Replace),
    }
}

/// The Lease as its holder writes it. Its version is kept: whoever was faster has won.
pub(super) fn claimed(lease: Option<Lease>, name: &str, identity: &str, now: Timestamp) -> Lease {
    let mut lease = lease.unwrap_or_else(|| Lease {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: None,
    });
    let before = lease.spec.take().unwrap_or_default();
    let mine = before.holder_identity.as_deref() == Some(identity);
    let term = before.lease_transitions.unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
        acquire_time: before.acquire_time.filter(|_| mine).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if mine { term } else { term.saturating_add(1) }),
        ..before
    });
    lease
}

/// The Lease as it is handed back; nothing where it is somebody else's by now.
pub(super) fn released(mut lease: Lease, identity: &str, now: Timestamp) -> Option<Lease> {
    let spec = lease.spec.as_mut()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    spec.holder_identity = Some(String::new());
    spec.renew_time = Some(MicroTime(now));
    Some(lease)
}

#[cfg(test)]
mod tests;
