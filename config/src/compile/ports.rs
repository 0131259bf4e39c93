//! What each listener port of a Gateway serves, from what is attached to its listeners.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::attach::Attached;
use super::gateway::State;
use super::http_route::Route;
use super::listener::{Listener, Protocol};
use crate::model::{Kind, Name, ObjectRef};
use crate::ports::Allotted;
use crate::table::{
    HostIndex, Hosts, Port, PortServes, Rank, RuleId, SniAction, SniTable, StreamRule,
    TlsTermination, VirtualHosts, covers,
};
use crate::verdict::{GatewayVerdict, ListenerVerdict};

/// The listeners on one port.
type OnPort<'a> = [(&'a Listener, &'a Attached)];

/// The ports of `gateway` that are allotted.
pub(super) fn serve(gateway: &State, allotted: &Allotted) -> Vec<(u16, Arc<Port>)> {
    let served = gateway.owners().filter_map(|owner| {
        let container_port = allotted.get(&owner)?;
        let all = gateway.listeners.iter().zip(&gateway.attached);
        let on_port: Vec<_> =
            all.filter(|(one, _)| one.is_accepted() && one.port == Some(owner.port)).collect();
        let plain = on_port.iter().all(|(listener, _)| listener.protocol == Some(Protocol::Http));
        let serves = if plain {
            PortServes::Http(virtual_hosts(&on_port).into())
        } else {
            PortServes::Tls(sni_table(&gateway.name, &on_port).into())
        };
        Some((container_port, gateway.port(&owner, serves)))
    });
    served.collect()
}

/// What a Gateway deserves.
pub(super) fn verdict(gateway: &State, allotted: &Allotted) -> GatewayVerdict {
    let conditions = gateway.conditions();
    let accepted = conditions.iter().any(|one| one.type_ == "Accepted" && one.holds);
    let listeners = gateway.listeners.iter().zip(&gateway.attached).map(|(listener, attached)| {
        let usable = accepted && listener.is_accepted();
        let owner = listener.port.filter(|_| usable).map(|port| gateway.owner(port));
        ListenerVerdict {
            name: listener.name.clone(),
            host: listener.host.clone(),
            container_port: owner.as_ref().and_then(|owner| allotted.get(owner)),
            owner,
            servable: usable && listener.is_servable(),
            attached_routes: attached.routes.len(),
            supported_kinds: listener.kinds.clone(),
            conditions: listener.conditions(),
        }
    });
    GatewayVerdict {
        uid: Arc::clone(&gateway.uid),
        generation: gateway.generation,
        accepted,
        listeners: listeners.collect(),
        conditions,
    }
}

/// Adds the rules of a route under each of these hosts.
pub(super) fn add_route(all: &mut Hosts, hosts: &[&str], route: &Route) {
    for host in hosts {
        for (rule, matches) in &route.rules {
            for (entry, matched) in matches.iter().enumerate() {
                let rank = Rank::new(Arc::clone(&route.age), rule.id.index, entry, matched);
                all.add_rule(host, rank, Arc::clone(matched), Arc::clone(rule));
            }
        }
    }
}

/// Takes them away again.
pub(super) fn remove_route(all: &mut Hosts, hosts: &[&str], route: &Route) {
    for host in hosts {
        for matched in route.rules.iter().flat_map(|(_, matches)| matches) {
            all.remove_rule(host, matched, &route.facts.object);
        }
    }
}

fn virtual_hosts(listeners: &OnPort<'_>) -> VirtualHosts {
    let mut all = VirtualHosts::default();
    for (listener, attached) in listeners {
        all.add_listener(&listener.host, attached.hosts.clone());
    }
    all
}

fn sni_table(gateway: &Name, listeners: &OnPort<'_>) -> SniTable {
    let mut actions = HostIndex::default();
    for (listener, attached) in listeners {
        let action = termination(listener, attached).unwrap_or_else(|| nobody(gateway));
        actions.insert(&listener.host, Arc::new(action));
    }
    let mut taken = BTreeSet::new();
    for (listener, attached) in listeners {
        for route in attached.streams.values() {
            for host in route.facts.hosts_on(&listener.host) {
                let narrower = if covers(&listener.host, host) { host } else { &*listener.host };
                if is_of(listener, narrower, listeners) && taken.insert(narrower.to_owned()) {
                    let action = SniAction::Passthrough(Arc::clone(&route.rule));
                    actions.insert(narrower, Arc::new(action));
                }
            }
        }
    }
    SniTable { actions }
}

/// Whether no listener with a more specific host takes `host` away from `listener`.
fn is_of(listener: &Listener, host: &str, listeners: &OnPort<'_>) -> bool {
    let mut others = listeners.iter().map(|(other, _)| other);
    !others.any(|other| {
        other.host != listener.host
            && covers(&other.host, host)
            && covers(&listener.host, &other.host)
    })
}

fn termination(listener: &Listener, attached: &Attached) -> Option<SniAction> {
    if listener.protocol != Some(Protocol::Https) || listener.certificates.is_empty() {
        return None;
    }
    Some(SniAction::Terminate(Arc::new(TlsTermination {
        certificates: listener.certificates.as_slice().into(),
        client_auth: listener.client_auth.clone()?,
        hosts: Arc::new(virtual_hosts(&[(listener, attached)])),
    })))
}

/// A listener without a certificate or a route keeps its names from the others on its port: the
/// connection has no backend to go to and is closed.
fn nobody(gateway: &Name) -> SniAction {
    let route = ObjectRef::new(Kind::Gateway, gateway.clone());
    let id = RuleId { route, index: 0, name: None };
    SniAction::Passthrough(Arc::new(StreamRule { id, backends: Arc::default() }))
}
