//! Joins the conditions that an object holds with those that it deserves.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::verdict::Condition;

/// The conditions to write: those of others as they stand, ours renewed, and of ours (`owned`)
/// those gone that are not deserved any more.
pub(super) fn merged(
    old: &[Value],
    (wanted, owned): (&[Condition], &[&str]),
    generation: i64,
    now: Timestamp,
) -> Vec<Value> {
    let type_of = |value: &Value| value.get("type").and_then(Value::as_str).map(str::to_owned);
    let find = |type_: &str| wanted.iter().find(|one| one.type_ == type_);
    let mut merged = Vec::with_capacity(old.len() + wanted.len());
    for held in old {
        let type_ = type_of(held).unwrap_or_default();
        match find(&type_) {
            Some(condition) => merged.push(renewed(Some(held), condition, generation, now)),
            None if owned.contains(&type_.as_str()) => {}
            None => merged.push(held.clone()),
        }
    }
    for condition in wanted {
        if !old.iter().any(|held| type_of(held).as_deref() == Some(condition.type_)) {
            merged.push(renewed(None, condition, generation, now));
        }
    }
    merged
}

fn renewed(held: Option<&Value>, wanted: &Condition, generation: i64, now: Timestamp) -> Value {
    let status = if wanted.holds { "True" } else { "False" };
    let same = held.filter(|held| held.get("status").and_then(Value::as_str) == Some(status));
    let since = same.and_then(|held| held.get("lastTransitionTime")).cloned();
    json!({
        "type": wanted.type_,
        "status": status,
        "reason": wanted.reason,
        "message": wanted.message,
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or_else(|| time(now).into()),
    })
}

/// A time as the API server writes it: to the second.
fn time(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
