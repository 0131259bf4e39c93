//! Plans the objects of ours: which to make, change, release or withdraw.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use config::api::mcs::ServiceImport;
use config::model::{Kind, LinkName, Name, ObjectRef};
use config::resources::Slices;
use config::table::PortOwner;
use imbl::{OrdMap, OrdSet};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::merge::{Import, Imports};
use crate::slices::{Gateway, Reports, Seating};

mod known;
pub mod marks;
mod mirror;
mod object;
mod seats;
mod services;
mod standing;

pub use self::known::{Known, Owners};
pub use self::mirror::{Mirror, Remote, imported, mirrors};
pub use self::object::derived_name;
pub use self::standing::{standing, stood};

/// What stands in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All Services, ours and others.
    pub services: OrdMap<Name, Arc<Service>>,
    /// Services that cannot be read: their names are taken.
    pub unreadable_services: OrdSet<Name>,
    /// All imports.
    pub imports: OrdMap<Name, Arc<ServiceImport>>,
    /// Imports that cannot be read: their names are taken.
    pub unreadable_imports: OrdSet<Name>,
    /// All slices.
    pub slices: Slices,
}

/// What matters of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceView {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Names that no mirrored Service takes.
    pub freed: BTreeSet<String>,
    /// Whether it is Spanway's own: nothing enters it unless a link names it.
    pub guarded: bool,
}

/// The namespaces that exist and are not about to go.
pub type Namespaces = BTreeMap<Arc<str>, NamespaceView>;

/// All that a plan follows from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The merged imports.
    pub imports: &'a Imports,
    /// The mirrored Services that links ask for.
    pub mirrors: &'a BTreeMap<Name, Mirror>,
    /// The namespaces.
    pub namespaces: &'a Namespaces,
    /// What stands.
    pub observed: &'a Observed,
    /// Which container port belongs to whom.
    pub ports: &'a BTreeMap<PortOwner, u16>,
    /// The gateways that may stand in slices.
    pub gateways: &'a [Gateway],
    /// Their reports.
    pub reports: &'a Reports,
    /// Who stands in the slices that are there.
    pub standing: &'a Seating,
    /// Whose the Services are.
    pub owners: &'a Owners,
    /// What the plan before this one knew.
    pub known: &'a Known,
}

/// What is to be done, in order, and what cannot.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The changes, in the order in which they are carried out.
    pub changes: Vec<Change>,
    /// Why an import is not as it was asked for.
    pub problems: Vec<Problem>,
    /// Who should stand in slices.
    pub seating: Seating,
    /// What is known for the next plan.
    pub known: Known,
}

/// An object as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which.
    pub reference: ObjectRef,
    /// Its content, `apiVersion` and `kind` included.
    pub value: Value,
}

/// An object that is to go, as it was seen: if it has changed since, it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub reference: ObjectRef,
    /// Its UID.
    pub uid: Option<String>,
    /// Its version.
    pub resource_version: Option<String>,
}

/// One change to the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Made where nothing of that name is; what is there is not touched.
    Create(Object),
    /// Made, or changed to this, by server-side apply.
    Apply(Object),
    /// Written whole over the version that it names: what was changed in one of ours is put right.
    Replace(Object),
    /// Written whole over the version that it names, without our marks: it is somebody else's now.
    Release(Object),
    /// Deleted.
    Delete(Doomed),
}

/// Why an import is not as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The import.
    pub import: Name,
    /// A reason in `CamelCase`.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Problem {
    fn new(import: &Name, reason: &'static str, message: String) -> Self {
        Self { import: import.clone(), reason, message }
    }
}

/// What a Service of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Derived,
    Mirrored,
}

/// A Service of ours as it is wanted.
#[derive(Clone, Copy, Debug, Hash)]
struct Wanted<'a> {
    role: Role,
    service: &'a Name,
    from: Option<&'a LinkName>,
    import: &'a Import,
}

impl NamespaceView {
    /// Reads a namespace; `own` is Spanway's. `None` if it is about to go.
    pub fn read(namespace: &Namespace, own: &str) -> Option<Self> {
        let metadata = &namespace.metadata;
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let names = marks::annotation(metadata, marks::NAME_FREE).unwrap_or_default();
        let names = names.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
        Some(Self {
            labels: metadata.labels.clone().unwrap_or_default(),
            freed: names.map(Into::into).collect(),
            guarded: metadata.name.as_deref() == Some(own),
        })
    }

    fn label<'s>(&'s self) -> impl Fn(&str) -> Option<&'s str> + Copy {
        |key| self.labels.get(key).map(String::as_str)
    }
}

impl Doomed {
    fn new(kind: Kind, name: &Name, metadata: &ObjectMeta) -> Self {
        Self {
            reference: ObjectRef::new(kind, name.clone()),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
        }
    }
}

impl Change {
    /// The object that is changed.
    pub const fn reference(&self) -> &ObjectRef {
        match self {
            Self::Create(object)
            | Self::Apply(object)
            | Self::Replace(object)
            | Self::Release(object) => &object.reference,
            Self::Delete(doomed) => &doomed.reference,
        }
    }

    /// Changes of a lower phase are done before those of a higher one: what a user took over is
    /// let go at once; a Service comes before its slices and goes after them; a new slice stands
    /// before the one that it replaces goes.
    pub const fn phase(&self) -> u8 {
        match (self, self.reference().kind) {
            (Self::Release(_), _) => 0,
            (Self::Create(_) | Self::Apply(_) | Self::Replace(_), Kind::EndpointSlice) => 2,
            (Self::Create(_) | Self::Apply(_) | Self::Replace(_), _) => 1,
            (Self::Delete(_), Kind::EndpointSlice) => 3,
            (Self::Delete(_), _) => 4,
        }
    }
}

/// Plans. An import whose namespace does not exist here is left out.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let known = Known { owners: inputs.owners.clone(), ..Known::default() };
    let mut plan = Plan { known, ..Plan::default() };
    let wanted = services::wanted(inputs, &mut plan.problems);
    plan_imports(inputs, &mut plan);
    let kept = services::plan(inputs, &wanted, &mut plan);
    seats::plan(inputs, &kept, &mut plan);
    plan.changes.sort_by_key(Change::phase);
    plan
}

/// The imports that are wanted here.
fn imports_here<'a>(inputs: &Inputs<'a>) -> impl Iterator<Item = (&'a Name, &'a Import)> {
    let namespaces = inputs.namespaces;
    inputs.imports.services.iter().filter(|(name, _)| namespaces.contains_key(&*name.namespace))
}

fn plan_imports(inputs: &Inputs<'_>, plan: &mut Plan) {
    let observed = inputs.observed;
    for (name, import) in imports_here(inputs) {
        let current = observed.imports.get(name);
        let foreign = current.is_some_and(|current| {
            !marks::is_ours(&current.metadata) || current.metadata.deletion_timestamp.is_some()
        });
        if foreign || observed.unreadable_imports.contains(name) {
            let message = format!("a ServiceImport `{name}` that is not ours stands there");
            plan.problems.push(Problem::new(name, "NameTaken", message));
            continue;
        }
        let derived = observed
            .services
            .get(&derived_name(name))
            .filter(|service| services::is_derived(service));
        let ips = object::import_ips(import, derived.map(|service| &**service));
        let object = || object::service_import(name, import, &ips);
        let Some(current) = current else {
            plan.changes.push(Change::Create(object()));
            continue;
        };
        let look = || object::change(&**current, &current.metadata, object());
        let known = &inputs.known.imports;
        let change = plan.known.imports.change(known, (name, current), (import, &ips), look);
        plan.changes.extend(change);
    }
    for (name, current) in &observed.imports {
        let wanted = inputs.imports.services.contains_key(name)
            && inputs.namespaces.contains_key(&*name.namespace);
        if !wanted
            && marks::is_ours(&current.metadata)
            && current.metadata.deletion_timestamp.is_none()
        {
            let doomed = Doomed::new(Kind::ServiceImport, name, &current.metadata);
            plan.changes.push(Change::Delete(doomed));
        }
    }
}

#[cfg(test)]
mod tests;
