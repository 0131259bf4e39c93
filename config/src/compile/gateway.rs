//! Classes and Gateways: which are ours, and what they deserve.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::listener::{self, Listener};
use super::reference::uid_of;
use super::{Compiled, Context};
use crate::api::gateway::gateway as gw;
use crate::model::Name;
use crate::resources::Resources;
use crate::table::{ClientAuth, Port, PortOwner};
use crate::verdict::{ClassVerdict, Condition, GatewayVerdict, Rejected};

use super::attach::Attached;

/// A Gateway of ours.
pub(super) struct State {
    pub(super) name: Name,
    pub(super) uid: Arc<str>,
    pub(super) generation: i64,
    pub(super) rejected: Option<Rejected>,
    pub(super) listeners: Vec<Listener>,
    /// What is attached, by the place of the listener.
    pub(super) attached: Vec<Attached>,
}

impl State {
    pub(super) fn owner(&self, port: u16) -> PortOwner {
        PortOwner { uid: Arc::clone(&self.uid), port }
    }

    /// The port that `owner` has, serving this.
    pub(super) fn port(&self, owner: &PortOwner, serves: crate::table::PortServes) -> Arc<Port> {
        Arc::new(Port { owner: owner.clone(), name: self.name.clone(), serves })
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
    is_our_class(resources, context, &gateway.spec.gateway_class_name)
}

fn is_our_class(resources: &Resources, context: &Context, class: &str) -> bool {
    let class = resources.gateway_classes.get(&Name::new("", class));
    class.is_some_and(|class| class.spec.controller_name == context.controller)
}

/// The verdicts on the Gateways that cannot be read, as far as they seem to be ours.
pub(super) fn broken(resources: &Resources, context: &Context) -> BTreeMap<Name, GatewayVerdict> {
    let mut verdicts = BTreeMap::new();
    for (name, broken) in &resources.gateways.broken {
        let class = broken.whole.pointer("/spec/gatewayClassName").and_then(Value::as_str);
        if class.is_some_and(|class| is_our_class(resources, context, class)) {
            let message = format!("`{}` cannot be read: {}", broken.field, broken.message);
            let rejected = Rejected::new("Invalid", message);
            let verdict = GatewayVerdict {
                uid: broken.uid.clone().unwrap_or_default(),
                generation: broken.generation.unwrap_or_default(),
                accepted: false,
                conditions: vec![Condition::no("Accepted", &rejected)],
                listeners: vec![],
            };
            verdicts.insert(name.clone(), verdict);
        }
    }
    verdicts
}

/// The Gateways of our classes.
pub(super) fn gateways(
    resources: &Resources,
    context: &Context,
    compiled: &mut Compiled,
) -> Vec<State> {
    let all = resources.gateways.valid.iter();
    let ours: Vec<_> = all.filter(|(_, one)| is_ours(resources, context, one)).collect();
    let mut states = Vec::with_capacity(ours.len());
    for (name, gateway) in ours {
        let tls = gateway.spec.tls.as_ref();
        let specs = gateway.spec.listeners.iter();
        let mut listeners: Vec<_> =
            specs.map(|spec| listener::read(resources, name, (spec, tls), compiled)).collect();
        listener::find_conflicts(&mut listeners);
        states.push(State {
            name: name.clone(),
            uid: uid_of(&gateway.metadata),
            generation: gateway.metadata.generation.unwrap_or_default(),
            rejected: rejected(&gateway.spec),
            attached: listeners.iter().map(|_| Attached::default()).collect(),
            listeners,
        });
    }
    states
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
