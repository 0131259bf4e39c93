//! Plans derived and mirrored Services.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::marks::Standing;
use config::model::{Kind, Name, ObjectRef};
use config::table::PortOwner;
use k8s_openapi::api::core::v1::Service;

use super::{
    Change, Doomed, Inputs, Mirror, Object, Owners, Plan, Problem, Role, Wanted, derived_name,
    imports_here, marks, object,
};

/// A Service of ours that stands as it is wanted or soon will.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<'a> {
    pub(super) name: &'a Name,
    pub(super) observed: &'a Service,
    pub(super) wanted: Wanted<'a>,
}

/// Whose a Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Somebody else's, or about to go.
    Foreign,
    /// It was ours until somebody set its selector, type or ports.
    TakenOver,
    /// Ours.
    Ours,
}

/// The Services that are wanted here, by name.
pub(super) fn wanted<'a>(
    inputs: &Inputs<'a>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Name, Wanted<'a>> {
    let derived = imports_here(inputs)
        .filter(|(_, import)| !import.headless && !import.ports.is_empty())
        .map(|(name, import)| {
            (derived_name(name), Wanted { role: Role::Derived, service: name, from: None, import })
        });
    let mut wanted: BTreeMap<Name, Wanted<'a>> = derived.collect();
    for (name, mirror) in inputs.mirrors {
        let Some(view) = inputs.namespaces.get(&*name.namespace) else { continue };
        if mirror.import.ports.is_empty() {
            continue;
        }
        if view.freed.contains(&*name.name) || wanted.contains_key(name) {
            let message = format!("the name `{}` is kept free in its namespace", name.name);
            problems.push(Problem::new(&mirror.service, "NameKeptFree", message));
            continue;
        }
        let Mirror { service, from, import } = mirror;
        let from = from.as_ref();
        wanted.insert(name.clone(), Wanted { role: Role::Mirrored, service, from, import });
    }
    wanted
}

/// Plans the Services and returns those that slices may belong to.
pub(super) fn plan<'a>(
    inputs: &Inputs<'a>,
    wanted: &'a BTreeMap<Name, Wanted<'a>>,
    plan: &mut Plan,
) -> Vec<Kept<'a>> {
    let services = &inputs.observed.services;
    let mut kept = Vec::new();
    for (name, wanted) in wanted {
        if inputs.observed.unreadable_services.contains(name) {
            plan.problems.push(taken(name, wanted));
            continue;
        }
        let Some(observed) = services.get(name) else {
            plan.changes.push(Change::Create(object::service(name, wanted)));
            continue;
        };
        match inputs.owners.0.get(name).map_or(Owner::Foreign, |(_, owner)| *owner) {
            Owner::Ours => {
                adjust(inputs, plan, (name, observed), wanted);
                kept.push(Kept { name, observed, wanted: *wanted });
            }
            Owner::TakenOver if is_derived(observed) => {
                // Its name is reserved and it holds an address that clients know: put right.
                plan.changes.extend(repaired(name, observed, wanted).map(Change::Replace));
                kept.push(Kept { name, observed, wanted: *wanted });
            }
            Owner::TakenOver | Owner::Foreign => plan.problems.push(taken(name, wanted)),
        }
    }
    plan.changes.extend(inputs.owners.0.iter().filter_map(|(name, (service, owner))| {
        withdrawal((name, service), *owner, wanted.contains_key(name))
    }));
    kept
}

/// Makes a Service of ours what it should be, if it is not.
fn adjust(
    inputs: &Inputs<'_>,
    plan: &mut Plan,
    (name, observed): (&Name, &Arc<Service>),
    wanted: &Wanted<'_>,
) {
    let look = || object::change(&**observed, &observed.metadata, object::service(name, wanted));
    let known = &inputs.known.services;
    let change = plan.known.services.change(known, (name, observed), wanted, look);
    plan.changes.extend(change);
}

/// Lets go of a Service that was taken over; deletes one of ours that is not wanted any more.
fn withdrawal((name, service): (&Name, &Service), owner: Owner, wanted: bool) -> Option<Change> {
    match owner {
        Owner::TakenOver if !is_derived(service) => released(name, service).map(Change::Release),
        Owner::Ours | Owner::TakenOver if !wanted => {
            Some(Change::Delete(Doomed::new(Kind::Service, name, &service.metadata)))
        }
        _ => None,
    }
}

fn taken(name: &Name, wanted: &Wanted<'_>) -> Problem {
    let message = format!("a Service `{name}` that is not ours stands there");
    Problem::new(wanted.service, "NameTaken", message)
}

fn standing(service: &Service) -> Option<Standing> {
    let metadata = &service.metadata;
    Standing::read(metadata.namespace.as_deref()?, metadata.labels.as_ref())
}

pub(super) fn is_derived(service: &Service) -> bool {
    matches!(standing(service), Some(Standing::Derived { .. }))
}

/// Whether it bears the labels of a Service of ours.
pub(super) fn is_labelled(service: &Service) -> bool {
    standing(service).is_some()
}

pub(super) fn owner(service: &Service) -> Owner {
    let metadata = &service.metadata;
    if metadata.deletion_timestamp.is_some() || !is_labelled(service) {
        return Owner::Foreign;
    }
    let written = marks::annotation(metadata, marks::FINGERPRINT);
    if written == Some(&*object::fingerprint(service)) { Owner::Ours } else { Owner::TakenOver }
}

/// The Service as it stands, but for what makes it ours.
fn released(name: &Name, observed: &Service) -> Option<Object> {
    let mut service = observed.clone();
    let metadata = &mut service.metadata;
    for map in [metadata.labels.as_mut(), metadata.annotations.as_mut()].into_iter().flatten() {
        map.retain(|key, _| !key.starts_with(marks::PREFIX));
    }
    metadata.managed_fields = None;
    let value = serde_json::to_value(&service).ok()?;
    Some(Object { reference: ObjectRef::new(Kind::Service, name.clone()), value })
}

/// A derived Service with selector, type and ports as they should be.
fn repaired(name: &Name, observed: &Service, wanted: &Wanted<'_>) -> Option<Object> {
    let mut object = object::service(name, wanted);
    let mut value = serde_json::to_value(observed).ok()?;
    for path in ["type", "ports"] {
        let right = object.value.get_mut("spec")?.get_mut(path)?.take();
        value.get_mut("spec")?.as_object_mut()?.insert(path.into(), right);
    }
    let spec = value.get_mut("spec")?.as_object_mut()?;
    spec.remove("selector");
    spec.remove("externalName");
    for part in ["labels", "annotations"] {
        let right = object.value.get_mut("metadata")?.get_mut(part)?.take();
        value.get_mut("metadata")?.as_object_mut()?.insert(part.into(), right);
    }
    Some(Object { value, ..object })
}

impl Owners {
    /// Whose ports are wanted, each with the owner's name: the TCP ports of all derived and
    /// mirrored Services that stand.
    pub fn ports(&self) -> BTreeMap<PortOwner, Name> {
        let ours = self.0.iter().filter(|(_, (service, owner))| match owner {
            Owner::Ours => true,
            Owner::TakenOver => is_derived(service),
            Owner::Foreign => false,
        });
        let ours = ours.map(|(name, (service, _))| (name, service));
        ours.flat_map(|(name, service)| {
            let uid: Option<Arc<str>> = service.metadata.uid.as_deref().map(Arc::from);
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|p| p == "TCP"));
            tcp.filter_map(move |port| {
                let port = u16::try_from(port.port).ok()?;
                Some((PortOwner { uid: uid.clone()?, port }, name.clone()))
            })
        })
        .collect()
    }
}
