//! Compiles objects into the routing table and a verdict on each: pure, and it cannot fail.
//!
//! The steps: classes and Gateways with their listeners; each route, judged once; each parent
//! that a route names; then the ports, from what is attached.

mod attach;
mod backend;
mod certificate;
mod client_auth;
mod compiler;
mod filter;
mod gateway;
mod grant;
mod http_route;
mod listener;
mod mirrored;
mod ports;
mod reference;
mod stream_route;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Kind, Name, ObjectRef};
use crate::ports::PortRecords;
use crate::resources::{Broken, Resources};
use crate::table::{PortOwner, RoutingTable};
use crate::verdict::Verdicts;

pub use self::certificate::CertificatePem;
pub use self::compiler::Compiler;
pub use self::gateway::is_ours;

#[cfg(test)]
mod tests;

/// The name under which `GatewayClass`es choose us.
pub const CONTROLLER_NAME: &str = "spanway.dev/gateway-controller";

/// Who compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The controller name that makes a class ours.
    pub controller: String,
    /// Our own namespace, where the port records lie.
    pub namespace: String,
}

impl Context {
    /// The usual controller, installed in `namespace`.
    pub fn new(namespace: &str) -> Self {
        Self { controller: CONTROLLER_NAME.to_owned(), namespace: namespace.to_owned() }
    }
}

/// What comes out.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What gateways run.
    pub table: RoutingTable,
    /// The certificates that the table names, by Secret.
    pub certificates: BTreeMap<Name, Arc<CertificatePem>>,
    /// What each object deserves.
    pub verdicts: Verdicts,
    /// The Secrets and `ConfigMap`s that are validly referred to, there or not: to be watched.
    pub wanted: BTreeSet<ObjectRef>,
    /// The listener ports that need a container port, with the Gateway's name.
    pub wanted_ports: Vec<(PortOwner, Name)>,
}

/// Compiles all of `resources`.
pub fn compile(resources: &Resources, context: &Context) -> Compiled {
    let records = PortRecords::read(
        &context.namespace,
        resources.config_maps.valid.iter().map(|(name, object)| (name, &**object)),
    );
    let mut compiled = Compiled::default();
    compiled.verdicts.classes = gateway::classes(resources, context);
    compiled.verdicts.gateways = gateway::broken(resources, context);
    let mut gateways = gateway::gateways(resources, context, &mut compiled);
    let mut parents = mirrored::Parents::default();
    let http = http_route::routes(resources);
    for route in &http {
        let verdict = attach::http(route, &mut gateways, &mut parents, resources);
        compiled.verdicts.routes.insert(route.facts.object.clone(), verdict);
    }
    let streams = stream_route::routes(resources);
    for route in &streams {
        let verdict = attach::stream(route, &mut gateways, resources);
        compiled.verdicts.routes.insert(route.facts.object.clone(), verdict);
    }
    for (object, broken) in broken_routes(resources) {
        let verdict = attach::broken(object.clone(), broken, &mut gateways, resources);
        compiled.verdicts.routes.insert(object, verdict);
    }
    let allotted = records.by_owner();
    for gateway in &gateways {
        ports::serve(gateway, &allotted, &mut compiled);
    }
    mirrored::serve(resources, &parents, &allotted, &mut compiled.table);
    compiled
}

fn broken_routes(resources: &Resources) -> impl Iterator<Item = (ObjectRef, &Broken)> {
    let http = resources.http_routes.broken.iter().map(|one| (Kind::HttpRoute, one));
    let tls = resources.tls_routes.broken.iter().map(|one| (Kind::TlsRoute, one));
    http.chain(tls).map(|(kind, (name, broken))| (ObjectRef::new(kind, name.clone()), &**broken))
}
