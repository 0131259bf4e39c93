//! Decides which gateway pods stand in the slices of our Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use config::api::Pod;
use config::model::Name;
use config::resources::Slices;
use config::table::PortOwner;
use imbl::OrdMap;
use k8s_openapi::api::core::v1::PodCondition;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::plan::marks::{self, SLICE_MANAGED_BY};
use crate::report::{GatewayReport, LeaderWord};

/// The newest report of each gateway, by instance.
pub type Reports = BTreeMap<Arc<str>, Arc<GatewayReport>>;

/// Who stands where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seating(BTreeMap<Name, Seats>);

/// Who stands in the slices of one Service: container port and instance.
pub type Seats = BTreeSet<(u16, Arc<str>)>;

/// The family of a slice's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A gateway that a slice may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// UID of its pod.
    pub instance: Arc<str>,
    /// Its pod.
    pub pod: Name,
    /// The node that it runs on.
    pub node: Option<Arc<str>>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it leaves, whatever its report says.
    pub leaving: bool,
}

/// One entry of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    /// UID of the pod.
    pub instance: Arc<str>,
    /// The pod.
    pub pod: Name,
    /// Its node.
    pub node: Option<Arc<str>>,
    /// Its address of the slice's family.
    pub address: IpAddr,
}

impl Seating {
    /// Who stands in the slices of a Service.
    pub fn of(&self, service: &Name) -> Option<&Seats> {
        self.0.get(service)
    }

    /// Adds to those of a Service.
    pub fn add(&mut self, service: &Name, seats: Seats) {
        if !seats.is_empty() {
            self.0.entry(service.clone()).or_default().extend(seats);
        }
    }

    /// The Services for which somebody stands somewhere.
    pub fn services(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// Who stands somewhere.
    pub fn instances(&self) -> BTreeSet<&Arc<str>> {
        self.0.values().flatten().map(|(_, instance)| instance).collect()
    }

    /// Who stands somewhere here and not there in `other`.
    fn missing_in<'s>(&'s self, other: &Self) -> BTreeSet<&'s Arc<str>> {
        let mut missing = BTreeSet::new();
        for (service, seats) in &self.0 {
            let there = other.of(service);
            let gone = seats.iter().filter(|seat| there.is_none_or(|there| !there.contains(*seat)));
            missing.extend(gone.map(|(_, instance)| instance));
        }
        missing
    }
}

impl FromIterator<(Name, u16, Arc<str>)> for Seating {
    fn from_iter<I: IntoIterator<Item = (Name, u16, Arc<str>)>>(seats: I) -> Self {
        let mut seating = Self::default();
        for (service, port, instance) in seats {
            seating.add(&service, [(port, instance)].into());
        }
        seating
    }
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family as it stands in a slice or Service.
    pub const fn label(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    const fn has(self, address: &IpAddr) -> bool {
        matches!((self, address), (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_)))
    }
}

impl Gateway {
    /// Its entry in a slice of this family, where it has an address of it.
    pub fn seat(&self, family: Family) -> Option<Seat> {
        let address = *self.addresses.iter().find(|address| family.has(address))?;
        let Self { instance, pod, node, .. } = self.clone();
        Some(Seat { instance, pod, node, address })
    }

    /// Whether a slice names it for a container port. It comes in once it reports that it serves
    /// and has the port bound; a missing report removes nothing.
    pub fn takes(&self, reports: &Reports, owner: &PortOwner, port: u16, stands: bool) -> bool {
        if self.leaving {
            return false;
        }
        match reports.get(&self.instance) {
            None => stands,
            Some(report) => {
                let bound = report.bound.contains(&(port, owner.clone()));
                bound && (report.serving || stands)
            }
        }
    }
}

/// The instances whose pods were Ready once: one that is not any more leaves, one that is not yet
/// comes in. Kept by a leader; what it did not see itself is read off the pod's times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WereReady(BTreeSet<Arc<str>>);

impl WereReady {
    /// Takes note of who is Ready now, and forgets who is gone.
    #[must_use]
    pub fn note(&self, pods: &OrdMap<Name, Arc<Pod>>) -> Self {
        let known = pods.values().filter_map(|pod| {
            let uid = pod.metadata.uid.as_deref()?;
            (self.0.contains(uid) || is_ready(pod)).then(|| uid.into())
        });
        Self(known.collect())
    }

    fn left(&self, pod: &Pod) -> bool {
        if is_ready(pod) {
            return false;
        }
        let seen = pod.metadata.uid.as_deref().is_some_and(|uid| self.0.contains(uid));
        seen || ready_ended(pod).unwrap_or(false)
    }
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether a pod that is not Ready turned so after its container had started: then it was Ready.
fn ready_ended(pod: &Pod) -> Option<bool> {
    let turned = &condition(pod, "Ready")?.last_transition_time.as_ref()?.0;
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let running = statuses.first()?.state.as_ref()?.running.as_ref()?;
    Some(*turned > running.started_at.as_ref()?.0)
}

/// The gateways that may stand in slices: those that report and those that stand. `pods` is `None`
/// where the world has no pods: there reports and standing slices say all.
pub fn gateways(
    pods: Option<&OrdMap<Name, Arc<Pod>>>,
    reports: &Reports,
    slices: &Slices,
    were_ready: &WereReady,
) -> Vec<Gateway> {
    let mut known: BTreeMap<Arc<str>, Gateway> = BTreeMap::new();
    for endpoint in ours(slices).flat_map(|(_, slice)| &slice.endpoints) {
        if let Some(gateway) = standing_gateway(endpoint) {
            let entry = known.entry(Arc::clone(&gateway.instance));
            let addresses = gateway.addresses.clone();
            entry.or_insert(gateway).addresses.extend(addresses);
        }
    }
    for report in reports.values() {
        let GatewayReport { instance, pod, addresses, draining, .. } = &**report;
        let node = known.get(instance).and_then(|gateway| gateway.node.clone());
        let (instance, pod, addresses) = (Arc::clone(instance), pod.clone(), addresses.clone());
        let gateway =
            Gateway { instance: Arc::clone(&instance), pod, node, addresses, leaving: *draining };
        known.insert(instance, gateway);
    }
    let Some(pods) = pods else { return known.into_values().collect() };
    let by_uid: BTreeMap<&str, &Pod> =
        pods.values().filter_map(|pod| Some((pod.metadata.uid.as_deref()?, &**pod))).collect();
    known
        .into_values()
        .filter_map(|gateway| Some(seen(*by_uid.get(&*gateway.instance)?, gateway, were_ready)))
        .collect()
}

/// A gateway as its pod shows it.
fn seen(pod: &Pod, mut gateway: Gateway, were_ready: &WereReady) -> Gateway {
    let status = pod.status.as_ref();
    let addresses: Vec<IpAddr> = status
        .and_then(|status| status.pod_ips.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|ip| ip.ip.parse().ok())
        .collect();
    if !addresses.is_empty() {
        gateway.addresses = addresses;
    }
    gateway.node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(Arc::from);
    let ended = status
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    let terminating = pod.metadata.deletion_timestamp.is_some();
    gateway.leaving |= ended || terminating || were_ready.left(pod);
    gateway
}

fn standing_gateway(endpoint: &Endpoint) -> Option<Gateway> {
    let pod = endpoint.target_ref.as_ref()?;
    Some(Gateway {
        instance: pod.uid.as_deref()?.into(),
        pod: Name::new(pod.namespace.as_deref()?, pod.name.as_deref()?),
        node: endpoint.node_name.as_deref().map(Arc::from),
        addresses: endpoint.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
        leaving: false,
    })
}

/// Whether we wrote this slice. Our mark alone does not say so: Kubernetes' own controller copies
/// the labels of a Service, and with them the mark of a Gateway's, onto the slices that it makes.
pub(crate) fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    let manager = labels.and_then(|labels| labels.get(SLICE_MANAGED_BY)).map(String::as_str);
    marks::is_ours(&slice.metadata) && manager == Some(marks::SLICE_MANAGER)
}

/// Our slices, each with the Service that it belongs to.
pub fn ours(slices: &Slices) -> impl Iterator<Item = (&Name, &EndpointSlice)> {
    slices.by_service.iter().flat_map(|(service, slices)| {
        let ours = slices.values().filter(|slice| is_ours(slice));
        ours.map(move |slice| (service, &**slice))
    })
}

/// Who stands in the slices that are there.
pub fn standing(slices: &Slices) -> Seating {
    let mut seating = Seating::default();
    for (service, slice) in ours(slices) {
        let ports = slice.ports.iter().flatten().filter_map(|port| u16::try_from(port.port?).ok());
        let ports: Vec<u16> = ports.collect();
        for endpoint in &slice.endpoints {
            let uid = endpoint.target_ref.as_ref().and_then(|pod| pod.uid.as_deref());
            let Some(instance) = uid.map(Arc::<str>::from) else { continue };
            let seats = ports.iter().map(|port| (*port, Arc::clone(&instance)));
            seating.add(service, seats.collect());
        }
    }
    seating
}

/// What the leader tells each gateway that reports: by what stands, not by what was sent.
pub fn words(
    reports: &Reports,
    wanted: &Seating,
    standing: &Seating,
) -> BTreeMap<Arc<str>, LeaderWord> {
    let missing = wanted.missing_in(standing);
    let present = standing.instances();
    reports
        .values()
        .map(|report| {
            let instance = &report.instance;
            let word = LeaderWord {
                in_slices: report.serving && !missing.contains(instance),
                removed: report.draining && !present.contains(instance),
            };
            (Arc::clone(instance), word)
        })
        .collect()
}

#[cfg(test)]
mod tests;
