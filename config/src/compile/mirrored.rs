//! Ports of derived and mirrored Services, and the routes that rule the calls to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort as SpecPort};

use super::attach::Facts;
use super::backend::is_tcp;
use super::http_route::Route;
use super::ports::add_route;
use super::reference::{MCS_GROUP, port_number, uid_of};
use crate::marks::Standing;
use crate::model::{AppProtocol, BackendKey, Kind, Name, ObjectRef, ServicePort};
use crate::resources::Resources;
use crate::table::{MirroredPort, Port, PortOwner, PortServes, RoutingTable, VirtualHosts};
use crate::verdict::{ParentRef, Rejected};

/// A parent whose calls a route rules, and the one port that is meant if not all.
type Ruled = (ObjectRef, Option<u16>);

/// A route, and the one port that it rules if not all.
type OnPort = (Option<u16>, Arc<Route>);

/// Which routes rule the calls to which import or mirrored Service.
#[derive(Default)]
pub(super) struct Parents {
    routes: BTreeMap<ObjectRef, Vec<OnPort>>,
}

impl Parents {
    pub(super) fn attach(&mut self, (parent, port): Ruled, route: Arc<Route>) {
        self.routes.entry(parent).or_default().push((port, route));
    }

    /// The virtual hosts of a port: those of the Service's own routes, or of its import's if it
    /// has none.
    fn hosts(&self, service: &Name, import: &Name, port: u16) -> Option<Arc<VirtualHosts>> {
        let own = self.routes.get(&ObjectRef::new(Kind::Service, service.clone()));
        let of_import = || self.routes.get(&ObjectRef::new(Kind::ServiceImport, import.clone()));
        let mut hosts = VirtualHosts::default();
        let mut seen = BTreeSet::new();
        for (only, route) in own.or_else(of_import)? {
            let meant = only.is_none_or(|only| only == port);
            if meant && seen.insert(&route.facts.object) {
                // By which name a client calls a service is not for its routes to say.
                add_route(&mut hosts, "*", &["*"], route);
            }
        }
        (!seen.is_empty()).then(|| Arc::new(hosts))
    }
}

/// The import or mirrored Service that a route means: `None` is not ours to judge.
pub(super) fn parent_of(
    facts: &Facts,
    parent: &ParentRef,
    resources: &Resources,
) -> Option<Result<Ruled, Rejected>> {
    let own = &facts.object.name.namespace;
    let name = Name::new(parent.namespace.as_deref().unwrap_or(own), &parent.name);
    let kind = match (parent.group.as_deref()?, parent.kind.as_deref()?) {
        (MCS_GROUP, "ServiceImport") => Kind::ServiceImport,
        ("", "Service") => Kind::Service,
        _ => return None,
    };
    let ports: Vec<i32> = if kind == Kind::Service {
        let service = resources.services.get(&name)?;
        Standing::read(&name.namespace, service.metadata.labels.as_ref())?;
        ports(service).map(|port| port.port).collect()
    } else {
        let import = resources.service_imports.get(&name);
        import.into_iter().flat_map(|import| &import.spec.ports).map(|port| port.port).collect()
    };
    if *name.namespace != **own {
        let message = format!("only routes of its own namespace rule the calls to {kind} {name}");
        return Some(Err(Rejected::new("NotAllowedByParent", message)));
    }
    let no_match = |message| Some(Err(Rejected::new("NoMatchingParent", message)));
    if kind == Kind::ServiceImport && resources.service_imports.get(&name).is_none() {
        return no_match(format!("{kind} {name} does not exist"));
    }
    if parent.section_name.is_some() {
        return no_match(format!("{kind} {name} has no sections; name a port"));
    }
    let port = match parent.port {
        Some(port) if !ports.contains(&port) => {
            return no_match(format!("{kind} {name} has no port {port}"));
        }
        port => port.and_then(port_number),
    };
    Some(Ok((ObjectRef::new(kind, name), port)))
}

fn ports(service: &Service) -> impl Iterator<Item = &SpecPort> {
    service.spec.iter().filter_map(|spec| spec.ports.as_ref()).flatten()
}

/// Puts the ports of all derived and mirrored Services into the table, once they are allotted.
pub(super) fn serve(
    resources: &Resources,
    parents: &Parents,
    allotted: &BTreeMap<PortOwner, u16>,
    table: &mut RoutingTable,
) {
    for (name, service) in &resources.services.valid {
        let labels = service.metadata.labels.as_ref();
        let Some(standing) = Standing::read(&name.namespace, labels) else {
            continue;
        };
        let uid = uid_of(&service.metadata);
        for spec in ports(service).filter(|port| is_tcp(port.protocol.as_deref())) {
            let Some(number) = port_number(spec.port) else {
                continue;
            };
            let owner = PortOwner { uid: Arc::clone(&uid), port: number };
            let Some(container_port) = allotted.get(&owner) else {
                continue;
            };
            let backend = match &standing {
                Standing::Derived { import } => {
                    BackendKey::Import(ServicePort { service: import.clone(), port: number })
                }
                Standing::Mirrored { .. } => {
                    BackendKey::Mirror(ServicePort { service: name.clone(), port: number })
                }
            };
            let serves = PortServes::Mirrored(Arc::new(MirroredPort {
                protocol: AppProtocol::parse(spec.app_protocol.as_deref()),
                backend,
                routes: parents.hosts(name, standing.import(), number),
            }));
            let port = Port { owner, name: name.clone(), serves };
            table.ports.insert(*container_port, Arc::new(port));
        }
    }
}
