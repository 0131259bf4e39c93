//! Classes and Gateways: which are ours, and what they deserve.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::attach::Attached;
use super::listener::{self, Listener};
use super::reference::uid_of;
use super::world::{Used, World};
use super::{CertificatePem, Context};
use crate::api::gateway::gateway as gw;
use crate::model::{Name, ObjectRef};
use crate::resources::{Broken, Resources};
use crate::table::{ClientAuth, Port, PortOwner};
use crate::verdict::{ClassVerdict, Condition, GatewayVerdict, Rejected};

/// A Gateway of ours.
pub(super) struct State {
    pub(super) name: Name,
    pub(super) uid: Arc<str>,
    pub(super) generation: i64,
    pub(super) rejected: Option<Rejected>,
    pub(super) listeners: Vec<Listener>,
    pub(super) needs: Needs,
    /// What is attached, by the place of the listener.
    pub(super) attached: Vec<Attached>,
}

/// What listeners refer to.
#[derive(Default)]
pub(super) struct Needs {
    /// The certificates that could be read, by Secret.
    pub(super) certificates: BTreeMap<Name, Arc<CertificatePem>>,
    /// What is validly referred to, there or not.
    pub(super) wanted: BTreeSet<ObjectRef>,
}

/// What a Gateway is to us.
pub(super) enum Read {
    /// It names a class of somebody else's.
    Foreign,
    /// It seems to be ours and cannot be read.
    Broken(GatewayVerdict),
    /// It is ours.
    Ours(State),
}

impl State {
    pub(super) fn owner(&self, port: u16) -> PortOwner {
        PortOwner { uid: Arc::clone(&self.uid), port }
    }

    /// The owners of the ports of its sound listeners.
    pub(super) fn owners(&self) -> impl Iterator<Item = PortOwner> {
        let accepted = self.listeners.iter().filter(|listener| listener.is_accepted());
        let accepted = accepted.filter(|_| self.rejected.is_none());
        let ports: BTreeSet<u16> = accepted.filter_map(|listener| listener.port).collect();
        ports.into_iter().map(|port| self.owner(port))
    }

    /// The port that `owner` has, serving this.
    pub(super) fn port(&self, owner: &PortOwner, serves: crate::table::PortServes) -> Arc<Port> {
        Arc::new(Port { owner: owner.clone(), name: self.name.clone(), serves })
    }

    /// Takes over what is attached to the Gateway as it was read before, where routes see no
    /// difference. Says whether that is so.
    pub(super) fn take_over(&mut self, before: Self) -> bool {
        let same = self.listeners.len() == before.listeners.len()
            && self.listeners.iter().zip(&before.listeners).all(|(one, old)| one.admits_like(old));
        if same {
            self.attached = before.attached;
        }
        same
    }

    pub(super) fn conditions(&self) -> Vec<Condition> {
        let unsound = self.listeners.iter().filter(|listener| !listener.is_accepted()).count();
        let mut accepted = Condition::of("Accepted", "Accepted", self.rejected.as_ref());
        if accepted.holds && unsound > 0 {
            accepted.holds = unsound < self.listeners.len();
            accepted.reason = "ListenersNotValid";
            accepted.message =
                format!("{unsound} of {} listeners are not valid", self.listeners.len());
        }
        let mut conditions = vec![accepted];
        let lax = |one: &Listener| matches!(one.client_auth, Some(ClientAuth::Fallback(_)));
        if self.listeners.iter().any(lax) {
            let mut insecure =
                Condition::yes("InsecureFrontendValidationMode", "ConfigurationChanged");
            "clients without a valid certificate are let in".clone_into(&mut insecure.message);
            conditions.push(insecure);
        }
        conditions
    }
}

/// The verdicts on the classes that name us.
pub(super) fn classes(resources: &Resources, context: &Context) -> BTreeMap<Name, ClassVerdict> {
    let all = resources.gateway_classes.valid.iter();
    let ours = all.filter(|(_, class)| class.spec.controller_name == context.controller);
    ours.map(|(name, class)| {
        let rejected = class.spec.parameters_ref.as_ref().map(|parameters| {
            let message = format!("parameters of kind {} are not supported", parameters.kind);
            Rejected::new("InvalidParameters", message)
        });
        let conditions = vec![Condition::of("Accepted", "Accepted", rejected.as_ref())];
        let generation = class.metadata.generation.unwrap_or_default();
        (name.clone(), ClassVerdict { generation, conditions })
    })
    .collect()
}

/// Whether the Gateway's class names us.
pub fn is_ours(resources: &Resources, context: &Context, gateway: &crate::api::Gateway) -> bool {
    is_our_class(&World::new(resources), context, &gateway.spec.gateway_class_name)
}

fn is_our_class(world: &World<'_>, context: &Context, class: &str) -> bool {
    let class = world.class(&Name::new("", class));
    class.is_some_and(|class| class.spec.controller_name == context.controller)
}

/// Reads a Gateway that could not be read as one.
pub(super) fn broken(world: &World<'_>, context: &Context, broken: &Broken) -> Read {
    let class = broken.whole.pointer("/spec/gatewayClassName").and_then(Value::as_str);
    if !class.is_some_and(|class| is_our_class(world, context, class)) {
        return Read::Foreign;
    }
    let message = format!("`{}` cannot be read: {}", broken.field, broken.message);
    let rejected = Rejected::new("Invalid", message);
    Read::Broken(GatewayVerdict {
        uid: broken.uid.clone().unwrap_or_default(),
        generation: broken.generation.unwrap_or_default(),
        accepted: false,
        conditions: vec![Condition::no("Accepted", &rejected)],
        listeners: vec![],
    })
}

/// Reads a Gateway; nothing is attached to it yet.
pub(super) fn read(
    world: &World<'_>,
    context: &Context,
    name: &Name,
    gateway: &crate::api::Gateway,
) -> Read {
    if !is_our_class(world, context, &gateway.spec.gateway_class_name) {
        return Read::Foreign;
    }
    let tls = gateway.spec.tls.as_ref();
    let mut needs = Needs::default();
    let specs = gateway.spec.listeners.iter();
    let mut listeners: Vec<_> =
        specs.map(|spec| listener::read(world, name, (spec, tls), &mut needs)).collect();
    listener::find_conflicts(&mut listeners);
    let state = State {
        name: name.clone(),
        uid: uid_of(&gateway.metadata),
        generation: gateway.metadata.generation.unwrap_or_default(),
        rejected: rejected(&gateway.spec),
        needs,
        attached: listeners.iter().map(|_| Attached::default()).collect(),
        listeners,
    };
    world.note(Used::Ports(Arc::clone(&state.uid)));
    Read::Ours(state)
}

/// What of a Gateway is not built yet: said, never passed over in silence.
fn rejected(spec: &gw::GatewaySpec) -> Option<Rejected> {
    let parameters = spec.infrastructure.as_ref().and_then(|one| one.parameters_ref.as_ref());
    if let Some(parameters) = parameters {
        let message = format!("parameters of kind {} are not supported", parameters.kind);
        return Some(Rejected::new("InvalidParameters", message));
    }
    if spec.addresses.as_ref().is_some_and(|addresses| !addresses.is_empty()) {
        let message = "addresses are given by the LoadBalancer Service and cannot be asked for";
        return Some(Rejected::new("UnsupportedAddress", message));
    }
    let backend = spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
    if backend.is_some_and(|backend| backend.client_certificate_ref.is_some()) {
        let message = "a client certificate towards backends is not supported";
        return Some(Rejected::new("InvalidParameters", message));
    }
    None
}
