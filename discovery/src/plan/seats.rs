//! Plans the slices of our Services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::model::{Kind, Name};
use config::table::PortOwner;

use crate::catalog::CatalogPort;
use crate::merge::carried;
use crate::slices::{self, Family, Gateway, Seat};

use super::object::{self, SliceOf};
use super::services::Kept;
use super::{Change, Doomed, Inputs, Plan};

/// Endpoints in one slice: what the API server takes; more gateways than that are not named.
const SEATS_MAX: usize = 1_000;

/// A port of a Service, and the container port that it leads to.
type Led<'a> = (&'a CatalogPort, u16);

/// Plans the slices of the Services that are kept; all others of ours go.
pub(super) fn plan(inputs: &Inputs<'_>, kept: &[Kept<'_>], plan: &mut Plan) {
    let mut wanted = BTreeSet::new();
    for kept in kept {
        let seated = seated(inputs, kept);
        let seats = seated.iter().map(|(_, port, gateway)| (*port, Arc::clone(&gateway.instance)));
        plan.seating.add(kept.name, seats.collect());
        wanted.extend(plan_slices(inputs, kept, &seated, plan));
    }
    let mut doomed = Vec::new();
    for (service, slice) in slices::ours(&inputs.observed.slices) {
        let metadata = &slice.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { continue };
        let name = Name::new(namespace, name);
        let stays = wanted.contains(&name) || awaits_own(inputs, service);
        if !stays && metadata.deletion_timestamp.is_none() {
            doomed.push(Doomed::new(Kind::EndpointSlice, &name, metadata));
        }
    }
    doomed.sort_by(|one, other| one.reference.cmp(&other.reference));
    plan.changes.extend(doomed.into_iter().map(Change::Delete));
}

/// Whether a Service that its user took over is about to get slices of its own, which Kubernetes
/// makes wherever there is a selector. Until the first stands ours stay, so that the Service is
/// never without any.
fn awaits_own(inputs: &Inputs<'_>, service: &Name) -> bool {
    let spec = inputs.observed.services.get(service).and_then(|service| service.spec.as_ref());
    let selects = spec.is_some_and(|spec| {
        let selector = spec.selector.as_ref().is_some_and(|selector| !selector.is_empty());
        selector && spec.type_.as_deref() != Some("ExternalName")
    });
    let standing = inputs.observed.slices.by_service.get(service);
    selects && standing.is_some_and(|slices| slices.values().all(|slice| slices::is_ours(slice)))
}

/// Which gateways take which ports of a Service.
fn seated<'a>(inputs: &Inputs<'a>, kept: &Kept<'a>) -> Vec<(&'a CatalogPort, u16, &'a Gateway)> {
    let Some(uid) = kept.observed.metadata.uid.as_deref() else { return Vec::new() };
    let uid: Arc<str> = uid.into();
    let standing = inputs.standing.of(kept.name);
    let mut seated = Vec::new();
    for imported in &kept.wanted.import.ports {
        let port = &imported.port;
        let owner = PortOwner { uid: Arc::clone(&uid), port: port.number };
        let Some(&at) = inputs.ports.get(&owner).filter(|_| carried(port.transport)) else {
            continue;
        };
        for gateway in inputs.gateways {
            let seat = (at, Arc::clone(&gateway.instance));
            let stands = standing.is_some_and(|seats| seats.contains(&seat));
            if gateway.takes(inputs.reports, &owner, at, stands) {
                seated.push((port, at, gateway));
            }
        }
    }
    seated
}

/// Plans the slices of a Service and gives their names: for each exporting cluster and family, one
/// for each set of ports that some gateways have bound, as a rule one.
fn plan_slices(
    inputs: &Inputs<'_>,
    kept: &Kept<'_>,
    seated: &[(&CatalogPort, u16, &Gateway)],
    plan: &mut Plan,
) -> Vec<Name> {
    let import = kept.wanted.import;
    let mut names = Vec::new();
    for exporter in &import.exporters {
        let cluster = &exporter.cluster;
        let exposes = |at: &CatalogPort| {
            let port = import.ports.iter().find(|imported| imported.port == *at);
            port.is_some_and(|port| port.clusters.contains(cluster))
        };
        let mut ports: BTreeMap<&str, (Vec<Led<'_>>, &Gateway)> = BTreeMap::new();
        for (port, at, gateway) in seated.iter().filter(|(port, ..)| exposes(port)) {
            let entry = ports.entry(&gateway.instance);
            entry.or_insert_with(|| (Vec::new(), gateway)).0.push((port, *at));
        }
        for family in Family::ALL.into_iter().filter(|family| has_family(kept, *family)) {
            let mut groups: BTreeMap<Vec<u16>, (Vec<Led<'_>>, Vec<Seat>)> = BTreeMap::new();
            for (led, gateway) in ports.values() {
                let Some(seat) = gateway.seat(family) else { continue };
                let key = led.iter().map(|(_, at)| *at).collect();
                groups.entry(key).or_insert_with(|| (led.clone(), Vec::new())).1.push(seat);
            }
            for (ports, seats) in groups.values() {
                let (service, wanted) = (kept.name, &kept.wanted);
                let seats: Vec<&Seat> = seats.iter().take(SEATS_MAX).collect();
                let of = SliceOf { service, wanted, cluster, family, ports };
                names.push(plan_slice(inputs, &of, &seats, plan));
            }
        }
    }
    names
}

fn plan_slice(inputs: &Inputs<'_>, of: &SliceOf<'_>, seats: &[&Seat], plan: &mut Plan) -> Name {
    let name = object::slice_name(of);
    let slices = inputs.observed.slices.by_service.get(of.service);
    let Some(current) = slices.and_then(|slices| slices.get(&name.name)) else {
        plan.changes.push(Change::Apply(object::slice(&name, of, seats)));
        return name;
    };
    let look = || {
        let slice = object::slice(&name, of, seats);
        let current = serde_json::to_value(&**current).unwrap_or_default();
        (!object::covers(&current, &slice.value)).then_some(Change::Apply(slice))
    };
    let known = &inputs.known.slices;
    let change = plan.known.slices.change(known, (&name, current), (of, seats), look);
    plan.changes.extend(change);
    name
}

/// Whether the Service has addresses of the family; where it does not say, it has.
fn has_family(kept: &Kept<'_>, family: Family) -> bool {
    let families = kept.observed.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    families.is_none_or(|families| families.iter().any(|known| known == family.label()))
}
