//! The record of which container port belongs to whom, as it lies in `ConfigMap`s.
//!
//! Each `ConfigMap` with the label [`PORT_RECORD`] in our namespace holds some of the ports: a
//! data key is a container port number, its value a [`PortRecord`] as JSON. Only the leader
//! writes them; gateways and `compile` read them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::ConfigMap;
use crate::marks::PORT_RECORD;
use crate::model::Name;
use crate::table::PortOwner;

#[cfg(test)]
mod tests;

/// The transport of a port: the same number may be used once by each.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Transport {
    /// The only one that is carried.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// Recorded by nobody yet.
    #[serde(rename = "UDP")]
    Udp,
}

/// To whom a container port belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortRecord {
    /// UID of the Gateway, derived Service or mirrored Service.
    pub uid: Arc<str>,
    /// The owner's own port number: the listener's or the Service's.
    pub port: u16,
    /// Its transport.
    #[serde(default)]
    pub transport: Transport,
    /// The owner's name, `namespace/name`, for those who read the object.
    pub name: Arc<str>,
    /// Since when nobody needs it; it rests for a while before another owner gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed_at: Option<Timestamp>,
}

impl PortRecord {
    /// A new record: `name` is needed only by those who read the object.
    pub fn new(owner: &PortOwner, name: &Name) -> Self {
        Self {
            uid: Arc::clone(&owner.uid),
            port: owner.port,
            transport: Transport::Tcp,
            name: name.to_string().into(),
            freed_at: None,
        }
    }

    /// The owner that it names.
    pub fn owner(&self) -> PortOwner {
        PortOwner { uid: Arc::clone(&self.uid), port: self.port }
    }

    /// The value of a data key.
    pub fn to_json(&self) -> String {
        // Strings, numbers and a timestamp: there is nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A record that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// The key is no port number.
    #[error("ConfigMap {object}: key `{key}` is not a port number")]
    Key {
        /// The object.
        object: Name,
        /// The key.
        key: String,
    },
    /// The value is no record.
    #[error("ConfigMap {object}: port {port}: {message}")]
    Value {
        /// The object.
        object: Name,
        /// The container port.
        port: u16,
        /// What is wrong.
        message: String,
    },
    /// Two objects record the same container port; the first by name counts.
    #[error("ConfigMap {object}: port {port} is recorded in another object already")]
    Twice {
        /// The object that does not count.
        object: Name,
        /// The container port.
        port: u16,
    },
}

/// All records, by container port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRecords {
    /// Container port → its owner, freed ones included. A port whose record cannot be read
    /// stands in `unreadable`, so that it is not given away.
    pub by_port: BTreeMap<u16, PortRecord>,
    /// Container ports whose value cannot be read.
    pub unreadable: Vec<u16>,
    /// What could not be read.
    pub invalid: Vec<InvalidRecord>,
}

impl PortRecords {
    /// Reads the records of `namespace` from `objects`; others among them are passed over.
    pub fn read<'a>(
        namespace: &str,
        objects: impl IntoIterator<Item = (&'a Name, &'a ConfigMap)>,
    ) -> Self {
        let mut records = Self::default();
        for (name, object) in objects {
            if &*name.namespace == namespace && is_record(object) {
                for (key, value) in object.data.read() {
                    records.add(name, &key, &value);
                }
            }
        }
        records
    }

    fn add(&mut self, object: &Name, key: &str, value: &str) {
        let Ok(port) = key.parse::<u16>() else {
            let (object, key) = (object.clone(), key.to_owned());
            return self.invalid.push(InvalidRecord::Key { object, key });
        };
        let read = serde_json::from_str(value).map(|record| self.shared(port, record));
        match (self.by_port.entry(port), read) {
            (Entry::Occupied(_), _) => {
                self.invalid.push(InvalidRecord::Twice { object: object.clone(), port });
            }
            (Entry::Vacant(free), Ok(record)) => {
                free.insert(record);
            }
            (Entry::Vacant(_), Err(error)) => {
                self.unreadable.push(port);
                let (object, message) = (object.clone(), error.to_string());
                self.invalid.push(InvalidRecord::Value { object, port, message });
            }
        }
    }

    /// The ports of one owner mostly follow each other: its UID and its name are kept once for them.
    fn shared(&self, port: u16, mut record: PortRecord) -> PortRecord {
        if let Some((_, before)) = self.by_port.range(..port).next_back() {
            for (own, other) in [(&mut record.uid, &before.uid), (&mut record.name, &before.name)] {
                if own == other {
                    *own = Arc::clone(other);
                }
            }
        }
        record
    }

    /// The container ports in use by owner: what `compile` asks. Freed ones are not among them.
    pub fn by_owner(&self) -> BTreeMap<PortOwner, u16> {
        let mut owners = BTreeMap::new();
        for (port, record) in &self.by_port {
            if record.freed_at.is_none() && record.transport == Transport::Tcp {
                owners.entry(record.owner()).or_insert(*port);
            }
        }
        owners
    }
}

/// The container port of each owner, as it is kept: no larger than it has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allotted(Box<[(PortOwner, u16)]>);

impl Allotted {
    /// The container port of `owner`.
    pub fn get(&self, owner: &PortOwner) -> Option<u16> {
        let at = self.0.binary_search_by(|(other, _)| other.cmp(owner)).ok()?;
        self.0.get(at).map(|(_, port)| *port)
    }

    /// All that have one.
    pub fn owners(&self) -> impl Iterator<Item = &PortOwner> {
        self.0.iter().map(|(owner, _)| owner)
    }
}

impl From<BTreeMap<PortOwner, u16>> for Allotted {
    fn from(ports: BTreeMap<PortOwner, u16>) -> Self {
        Self(ports.into_iter().collect())
    }
}

/// Whether `object` holds port records.
pub fn is_record(object: &ConfigMap) -> bool {
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(PORT_RECORD));
    label.map(String::as_str) == Some("true")
}
