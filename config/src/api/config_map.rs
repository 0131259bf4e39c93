//! A `ConfigMap`, whose texts are looked at when one of them has changed and at no other time.

use std::collections::BTreeMap;
use std::fmt;

use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::packed::Packed;

#[cfg(test)]
mod tests;

/// A `ConfigMap` (core/v1). Of `binaryData` nobody here reads anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigMap {
    /// What every object has.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Its texts.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub data: Texts,
}

/// Texts by their keys, packed: the records of ten thousand ports would take two megabytes, to be
/// read once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts(Option<Packed>);

impl Texts {
    /// All of them.
    pub fn read(&self) -> BTreeMap<String, String> {
        let text = self.0.as_ref().map(Packed::text);
        // It was such a map when it was packed.
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// One of them.
    pub fn get(&self, key: &str) -> Option<String> {
        self.read().remove(key)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl From<BTreeMap<String, String>> for Texts {
    fn from(texts: BTreeMap<String, String>) -> Self {
        // Strings: there is nothing in them that JSON cannot say.
        let packed = || serde_json::to_string(&texts).map(|text| Packed::new(&text));
        Self(if texts.is_empty() { None } else { packed().ok() })
    }
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.read().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = Option::<BTreeMap<String, String>>::deserialize(from)?;
        Ok(texts.unwrap_or_default().into())
    }
}

impl ConfigMap {
    /// Its metadata.
    pub const fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// The same, to be changed.
    pub const fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
