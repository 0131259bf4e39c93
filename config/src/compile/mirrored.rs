//! Ports of derived and mirrored Services, and the routes that rule the calls to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort as SpecPort};

use super::attach::Facts;
use super::backend::is_tcp;
use super::http_route::Route;
use super::ports::add_route;
use super::reference::{MCS_GROUP, port_number, uid_of};
use super::world::{Used, World};
use crate::marks::Standing;
use crate::model::{AppProtocol, BackendKey, Kind, Name, ObjectRef, ServicePort};
use crate::ports::Allotted;
use crate::table::{Hosts, MirroredPort, Port, PortOwner, PortServes, VirtualHosts};
use crate::verdict::{ParentRef, Rejected};

/// A Service and its import: whose routes may rule its calls.
type Ruling = (ObjectRef, ObjectRef);

/// A parent whose calls a route rules, and the one port that is meant if not all.
type Ruled = (ObjectRef, Option<u16>);

/// A route, and the ports that it rules; `None` for all.
type OnPorts = (BTreeSet<Option<u16>>, Arc<Route>);

/// Which routes rule the calls to which import or mirrored Service.
#[derive(Default)]
pub(super) struct Parents {
    routes: BTreeMap<ObjectRef, BTreeMap<ObjectRef, OnPorts>>,
    /// The way back.
    of: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
}

impl Parents {
    pub(super) fn attach(&mut self, (parent, port): Ruled, route: Arc<Route>) {
        let object = route.facts.object.clone();
        self.of.entry(object.clone()).or_default().insert(parent.clone());
        let routes = self.routes.entry(parent).or_default();
        routes.entry(object).or_insert_with(|| (BTreeSet::new(), route)).0.insert(port);
    }

    /// Takes a route away from all that it rules, which is given.
    pub(super) fn detach(&mut self, route: &ObjectRef) -> BTreeSet<ObjectRef> {
        let parents = self.of.remove(route).unwrap_or_default();
        for parent in &parents {
            let Some(routes) = self.routes.get_mut(parent) else { continue };
            routes.remove(route);
            if routes.is_empty() {
                self.routes.remove(parent);
            }
        }
        parents
    }

    /// The virtual hosts of a port: those of the Service's own routes, or of its import's if it
    /// has none.
    fn hosts(&self, (service, import): &Ruling, port: u16) -> Option<Arc<VirtualHosts>> {
        let routes = self.routes.get(service).or_else(|| self.routes.get(import))?;
        let mut rules = Hosts::default();
        let meant = |ports: &BTreeSet<_>| ports.contains(&None) || ports.contains(&Some(port));
        let mut meant = routes.values().filter(|(ports, _)| meant(ports)).peekable();
        meant.peek()?;
        for (_, route) in meant {
            // By which name a client calls a service is not for its routes to say.
            add_route(&mut rules, &["*"], route);
        }
        let mut hosts = VirtualHosts::default();
        hosts.add_listener("*", rules);
        Some(Arc::new(hosts))
    }
}

/// The import or mirrored Service that a route means: `None` is not ours to judge.
pub(super) fn parent_of(
    world: &World<'_>,
    facts: &Facts,
    parent: &ParentRef,
) -> Option<Result<Ruled, Rejected>> {
    let own = &facts.object.name.namespace;
    let name = Name::new(parent.namespace.as_deref().unwrap_or(own), &parent.name);
    let kind = match (parent.group.as_deref()?, parent.kind.as_deref()?) {
        (MCS_GROUP, "ServiceImport") => Kind::ServiceImport,
        ("", "Service") => Kind::Service,
        _ => return None,
    };
    let ports: Vec<i32> = if kind == Kind::Service {
        let service = world.service(&name)?;
        Standing::read(&name.namespace, service.metadata.labels.as_ref())?;
        ports(service).map(|port| port.port).collect()
    } else {
        let import = world.import(&name);
        import.into_iter().flat_map(|import| &import.spec.ports).map(|port| port.port).collect()
    };
    if *name.namespace != **own {
        let message = format!("only routes of its own namespace rule the calls to {kind} {name}");
        return Some(Err(Rejected::new("NotAllowedByParent", message)));
    }
    let no_match = |message| Some(Err(Rejected::new("NoMatchingParent", message)));
    if kind == Kind::ServiceImport && world.import(&name).is_none() {
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

/// The ports of a derived or mirrored Service that are allotted; of any other Service none.
pub(super) fn serve(
    world: &World<'_>,
    (name, service): (&Name, &Service),
    parents: &Parents,
    allotted: &Allotted,
) -> Vec<(u16, Arc<Port>)> {
    let Some(standing) = Standing::read(&name.namespace, service.metadata.labels.as_ref()) else {
        return Vec::new();
    };
    let ruling = (
        ObjectRef::new(Kind::Service, name.clone()),
        ObjectRef::new(Kind::ServiceImport, standing.import().clone()),
    );
    world.note(Used::Routes(ruling.0.clone()));
    world.note(Used::Routes(ruling.1.clone()));
    let uid = uid_of(&service.metadata);
    world.note(Used::Ports(Arc::clone(&uid)));
    let tcp = ports(service).filter(|port| is_tcp(port.protocol.as_deref()));
    let served = tcp.filter_map(|spec| {
        let number = port_number(spec.port)?;
        let owner = PortOwner { uid: Arc::clone(&uid), port: number };
        let container_port = allotted.get(&owner)?;
        let serves = PortServes::Mirrored(Arc::new(MirroredPort {
            protocol: AppProtocol::parse(spec.app_protocol.as_deref()),
            backend: backend(name, &standing, number),
            routes: parents.hosts(&ruling, number),
        }));
        Some((container_port, Arc::new(Port { owner, name: name.clone(), serves })))
    });
    served.collect()
}

fn backend(name: &Name, standing: &Standing, port: u16) -> BackendKey {
    match standing {
        Standing::Derived { import } => {
            BackendKey::Import(ServicePort { service: import.clone(), port })
        }
        Standing::Mirrored { .. } => {
            BackendKey::Mirror(ServicePort { service: name.clone(), port })
        }
    }
}
