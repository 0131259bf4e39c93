//! Allots container ports to Gateways and to the ports of our Services.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use config::api::ConfigMap;
use config::marks::{MANAGED_BY, MANAGER, PORT_RECORD};
use config::model::{Kind, Name, ObjectRef};
use config::ports::{PortRecord, PortRecords, is_record};
use config::table::PortOwner;
use imbl::OrdMap;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::plan::{Change, Object};

/// Container ports that one object records: an object may have a mebibyte, a record takes about
/// 150 bytes.
const PORTS_PER_OBJECT: u16 = 1_000;
/// How long a freed port rests: a client that kept a connection or an address for that long has
/// let go of it.
pub const REST: SignedDuration = SignedDuration::from_mins(10);
/// The lowest port that a process without privileges may bind.
const FIRST_UNPRIVILEGED: u16 = 1_024;
/// Where Linux begins to give out local ports, unless it is set otherwise.
pub const FIRST_EPHEMERAL: u16 = 32_768;

/// The container ports that are allotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A range that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRange {
    /// Its end lies before its beginning.
    #[error("port range `{0}-{1}` ends before it begins")]
    Reversed(u16, u16),
    /// It begins among the privileged ports.
    #[error("port range `{0}-{1}` begins below {FIRST_UNPRIVILEGED}")]
    Privileged(u16, u16),
    /// Connections of the gateways themselves could take its ports.
    #[error("port range `{0}-{1}` reaches into ip_local_port_range, which begins at {2}")]
    Ephemeral(u16, u16, u16),
}

impl Default for PortRange {
    fn default() -> Self {
        Self { first: 20_000, last: 31_999 }
    }
}

impl PortRange {
    /// The range from `first` to `last`, both included; local ports begin at `ephemeral`.
    pub const fn new(first: u16, last: u16, ephemeral: u16) -> Result<Self, InvalidRange> {
        if last < first {
            return Err(InvalidRange::Reversed(first, last));
        }
        if first < FIRST_UNPRIVILEGED {
            return Err(InvalidRange::Privileged(first, last));
        }
        if last >= ephemeral {
            return Err(InvalidRange::Ephemeral(first, last, ephemeral));
        }
        Ok(Self { first, last })
    }

    /// What an owner is told for whose port there is no container port.
    pub fn exhausted(self, port: u16) -> String {
        format!(
            "no container port is left for port {port}: all of {self} are taken or rest, and \
             `ports` in the chart's values, or --ports, sets the range"
        )
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Who needs ports, and who still holds some.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The owners that are there, by name.
    pub owners: &'a BTreeMap<PortOwner, Name>,
    /// The container ports that some gateway reports bound.
    pub bound: &'a BTreeSet<u16>,
    /// Whether every gateway that there may be has reported.
    pub all_reported: bool,
    /// How long a freed port rests, as a rule [`REST`].
    pub rest: SignedDuration,
    /// The time.
    pub now: Timestamp,
}

/// What became of the needs.
#[derive(Clone, Debug, Default)]
pub struct Allotment {
    /// The records to write, each over the version that was read.
    pub changes: Vec<Change>,
    /// Who has which container port as it is recorded, before these changes.
    pub recorded: BTreeMap<PortOwner, u16>,
    /// The owners for which no port is left.
    pub exhausted: Vec<PortOwner>,
    /// When the next freed port has rested.
    pub next: Option<Timestamp>,
}

/// The records as they are changed.
struct Ledger<'a> {
    objects: BTreeMap<Name, Option<&'a ConfigMap>>,
    /// The object of each port that is recorded, whether the record can be read or not.
    home: BTreeMap<u16, Name>,
    records: BTreeMap<u16, PortRecord>,
    touched: BTreeSet<Name>,
}

/// Allots ports. Each container port has one object as its home, which is written over the version
/// that was read: of two leaders that would give one port twice, one fails and reads again.
pub fn allot(
    namespace: &str,
    objects: &OrdMap<Name, Arc<ConfigMap>>,
    range: PortRange,
    needs: &Needs<'_>,
) -> Allotment {
    let read = PortRecords::read(namespace, objects.iter().map(|(name, object)| (name, &**object)));
    let recorded = read.by_owner();
    let mut ledger = Ledger::open(namespace, objects, read.by_port);
    let mut allotment = Allotment { recorded, ..Allotment::default() };
    let held = settle(&mut ledger, needs, &mut allotment.next);
    let missing: Vec<_> = needs.owners.iter().filter(|(owner, _)| !held.contains(*owner)).collect();
    let free = |port: &u16| !ledger.home.contains_key(port) && !needs.bound.contains(port);
    let free: Vec<u16> = (range.first..=range.last).filter(free).take(missing.len()).collect();
    let mut free = free.into_iter();
    for (owner, name) in missing {
        match free.next() {
            Some(port) => ledger.give(namespace, port, PortRecord::new(owner, name)),
            None => allotment.exhausted.push(owner.clone()),
        }
    }
    allotment.changes = ledger.changes();
    allotment
}

/// Frees what nobody needs, takes back what is needed again, forgets what has rested. Returns who
/// holds a port.
fn settle(
    ledger: &mut Ledger<'_>,
    needs: &Needs<'_>,
    next: &mut Option<Timestamp>,
) -> BTreeSet<PortOwner> {
    let mut held = BTreeSet::new();
    // Ports in use before freed ones: an owner that has one does not take another back.
    let mut ports: Vec<(bool, u16)> =
        ledger.records.iter().map(|(port, record)| (record.freed_at.is_some(), *port)).collect();
    ports.sort_unstable();
    for (_, port) in ports {
        let Some(record) = ledger.records.get(&port) else { continue };
        let (owner, freed_at) = (record.owner(), record.freed_at);
        let needed = needs.owners.contains_key(&owner) && held.insert(owner);
        match (needed, freed_at) {
            (true, None) => {}
            (true, Some(_)) => ledger.free(port, None),
            (false, None) => {
                ledger.free(port, Some(needs.now));
                sooner(next, needs.now, needs.rest);
            }
            (false, Some(freed)) => {
                let rested = needs.now.duration_since(freed) >= needs.rest;
                if !rested {
                    sooner(next, freed, needs.rest);
                } else if needs.all_reported && !needs.bound.contains(&port) {
                    ledger.forget(port);
                }
            }
        }
    }
    held
}

/// Brings the next wake-up forward to the end of a rest.
fn sooner(next: &mut Option<Timestamp>, freed: Timestamp, rest: SignedDuration) {
    let end = freed.saturating_add(rest).unwrap_or(freed);
    *next = Some(next.map_or(end, |known| known.min(end)));
}

impl<'a> Ledger<'a> {
    fn open(
        namespace: &str,
        objects: &'a OrdMap<Name, Arc<ConfigMap>>,
        records: BTreeMap<u16, PortRecord>,
    ) -> Self {
        let mut ledger = Self {
            objects: BTreeMap::new(),
            home: BTreeMap::new(),
            records,
            touched: BTreeSet::new(),
        };
        let ours = objects
            .iter()
            .filter(|(name, object)| &*name.namespace == namespace && is_record(object));
        for (name, object) in ours {
            ledger.objects.insert(name.clone(), Some(object));
            for port in object.data.read().keys().filter_map(|key| key.parse().ok()) {
                ledger.home.entry(port).or_insert_with(|| name.clone());
            }
        }
        ledger
    }

    fn give(&mut self, namespace: &str, port: u16, record: PortRecord) {
        let number = port / PORTS_PER_OBJECT;
        let home = Name::new(namespace, &format!("spanway-ports-{number}"));
        self.objects.entry(home.clone()).or_default();
        self.home.insert(port, home);
        self.records.insert(port, record);
        self.touch(port);
    }

    /// Says since when nobody needs a port, or that somebody does.
    fn free(&mut self, port: u16, since: Option<Timestamp>) {
        if let Some(record) = self.records.get_mut(&port) {
            record.freed_at = since;
        }
        self.touch(port);
    }

    fn forget(&mut self, port: u16) {
        self.records.remove(&port);
        self.touch(port);
    }

    fn touch(&mut self, port: u16) {
        if let Some(home) = self.home.get(&port) {
            self.touched.insert(home.clone());
        }
    }

    fn changes(&self) -> Vec<Change> {
        let touched = self.touched.iter();
        touched.filter_map(|name| Some(self.change(name, *self.objects.get(name)?))).collect()
    }

    /// The object as it is to be. What cannot be read in it stays as it is.
    fn change(&self, name: &Name, read: Option<&ConfigMap>) -> Change {
        let is_here = |port: &u16| self.home.get(port) == Some(name);
        let mut data = read.map(|object| object.data.read()).unwrap_or_default();
        data.retain(|key, value| {
            let here = key.parse().is_ok_and(|port| is_here(&port));
            !here || serde_json::from_str::<PortRecord>(value).is_err()
        });
        let here = self.records.iter().filter(|(port, _)| is_here(port));
        data.extend(here.map(|(port, record)| (port.to_string(), record.to_json())));
        let mut value = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name.name,
                "namespace": name.namespace,
                "labels": {MANAGED_BY: MANAGER, PORT_RECORD: "true"},
            },
            "data": data,
        });
        let reference = ObjectRef::new(Kind::ConfigMap, name.clone());
        let Some(read) = read else { return Change::Create(Object { reference, value }) };
        let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
        if let (Some(metadata), Some(version)) = (metadata, &read.metadata.resource_version) {
            metadata.insert("resourceVersion".into(), version.as_str().into());
        }
        Change::Replace(Object { reference, value })
    }
}

#[cfg(test)]
mod tests;
