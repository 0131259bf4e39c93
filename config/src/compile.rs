//! Compiles objects into the routing table and a verdict on each: pure, and it cannot fail.
//!
//! The steps: classes and Gateways with their listeners; each route, judged once; each parent
//! that a route names; then the ports, from what is attached. A change costs in proportion to
//! itself: only what it touches takes these steps again (`incremental`).

mod alike;
mod attach;
mod backend;
mod certificate;
mod changes;
mod claims;
mod client_auth;
mod compiler;
mod filter;
mod gateway;
mod grant;
mod http_route;
mod incremental;
mod listener;
mod mirrored;
mod named;
mod ports;
mod reference;
mod stream_route;
mod uses;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::incremental::Incremental;
use crate::model::{Name, ObjectRef};
use crate::resources::Resources;
use crate::table::{PortOwner, RoutingTable};
use crate::verdict::Verdicts;

pub use self::certificate::CertificatePem;
pub use self::compiler::Compiler;
pub use self::gateway::is_ours;
pub use self::named::Named;

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

/// What comes out. A copy is cheap and shares with its source all that does not change.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What gateways run.
    pub table: RoutingTable,
    /// The certificates that the table names, by Secret.
    pub certificates: Arc<BTreeMap<Name, Arc<CertificatePem>>>,
    /// What each object deserves.
    pub verdicts: Verdicts,
    /// The Secrets and `ConfigMap`s that are validly referred to, there or not: to be watched.
    pub wanted: Arc<BTreeSet<ObjectRef>>,
    /// The listener ports that need a container port, with the Gateway's name.
    pub wanted_ports: Arc<[(PortOwner, Name)]>,
    /// Whom the routes in the table name.
    pub named: Named,
}

/// Compiles all of `resources`.
pub fn compile(resources: &Resources, context: &Context) -> Compiled {
    let mut all = Incremental::new(context.clone());
    all.update(resources);
    all.into_compiled()
}
