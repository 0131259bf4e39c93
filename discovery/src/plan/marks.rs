//! What our objects are known by, and what the exporter may say on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::marks::{MANAGED_BY, MANAGER};
use imbl::OrdMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The annotation of an import with the age and the ports of each export.
pub const EXPORTERS: &str = "spanway.dev/exporters";
/// The annotation with the digest of selector, type and ports as we wrote them.
pub const FINGERPRINT: &str = "spanway.dev/applied-spec";
/// The annotation with the digest of all that we wrote.
pub const APPLIED: &str = "spanway.dev/applied";
/// The annotation of a namespace with the names that are not to be mirrored, split by commas.
pub const NAME_FREE: &str = "spanway.dev/mirror-name-free";
/// The label of a slice with its controller.
pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who manages our slices.
pub const SLICE_MANAGER: &str = "spanway.dev";
/// What the keys of all our labels and annotations begin with.
pub const PREFIX: &str = "spanway.dev/";

/// Domains whose labels and annotations steer controllers: no exporter says those.
const RESERVED: [&str; 3] = ["kubernetes.io", "k8s.io", "spanway.dev"];
/// The longest value of a label; an annotation's is cut off at the same length for the same end:
/// a remote cluster cannot fill our API server.
const LABEL_LENGTH_MAX: usize = 63;
/// The longest value of an annotation that is taken over.
const ANNOTATION_LENGTH_MAX: usize = 4_096;
/// Labels and annotations taken over, each: more is no description.
const COUNT_MAX: usize = 64;

/// Whether the object is ours.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    label.map(String::as_str) == Some(MANAGER)
}

/// An annotation's value.
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The labels or annotations that are not ours.
pub fn foreign(map: Option<&BTreeMap<String, String>>) -> OrdMap<Arc<str>, Arc<str>> {
    map.into_iter()
        .flatten()
        .filter(|(key, _)| !is_reserved(key))
        .map(|(key, value)| (Arc::from(key.as_str()), Arc::from(value.as_str())))
        .collect()
}

/// The exported labels that an import may carry.
pub fn labels(exported: &OrdMap<Arc<str>, Arc<str>>) -> BTreeMap<String, String> {
    taken(exported, |value| value.len() <= LABEL_LENGTH_MAX && is_word(value, true))
}

/// The exported annotations that an import may carry.
pub fn annotations(exported: &OrdMap<Arc<str>, Arc<str>>) -> BTreeMap<String, String> {
    taken(exported, |value| value.len() <= ANNOTATION_LENGTH_MAX)
}

fn taken(
    exported: &OrdMap<Arc<str>, Arc<str>>,
    fits: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    exported
        .iter()
        .filter(|(key, value)| !is_reserved(key) && is_key(key) && fits(value))
        .take(COUNT_MAX)
        .map(|(key, value)| (key.as_ref().into(), value.as_ref().into()))
        .collect()
}

fn is_reserved(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return false };
    RESERVED.iter().any(|reserved| {
        domain.strip_suffix(reserved).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// Whether Kubernetes takes it as the key of a label.
pub(super) fn is_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(d, n)| (Some(d), n));
    name.len() <= LABEL_LENGTH_MAX
        && is_word(name, false)
        && domain.is_none_or(|domain| {
            domain.len() <= 253
                && is_word(domain, false)
                && domain.bytes().all(|byte| !byte.is_ascii_uppercase() && byte != b'_')
        })
}

/// Letters, digits and `-_.`, with a letter or digit at both ends.
fn is_word(text: &str, empty: bool) -> bool {
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if text.is_empty() {
        return empty;
    }
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.bytes().all(inner) && ends(text.bytes().next()) && ends(text.bytes().last())
}
