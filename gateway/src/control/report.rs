//! Reports as they travel between a gateway and the leader.

use std::net::{AddrParseError, IpAddr};
use std::sync::Arc;

use config::model::Name;
use config::table::PortOwner;
use discovery::report::{GatewayReport, LeaderWord, LinkReport};
use thiserror::Error;

use super::generated as wire;

#[cfg(test)]
mod tests;

/// The age of what was never there.
const NEVER: u64 = u64::MAX;

/// Why a report cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadReport {
    /// An address is none.
    #[error("the report of {instance:?} has the address {address:?}")]
    Address {
        /// The UID of the gateway's pod.
        instance: String,
        /// The text in place of an address.
        address: String,
    },
    /// A number is no port.
    #[error("the report of {instance:?} has the port {port}")]
    Port {
        /// The UID of the gateway's pod.
        instance: String,
        /// The number.
        port: u32,
    },
    /// A port is nobody's.
    #[error("the report of {instance:?} has the port {port} without an owner")]
    Owner {
        /// The UID of the gateway's pod.
        instance: String,
        /// The container port.
        port: u32,
    },
}

/// Writes a report.
pub fn to_wire(report: &GatewayReport) -> wire::ReportRequest {
    let bound = |(port, owner): &(u16, PortOwner)| wire::BoundPort {
        container_port: u32::from(*port),
        owner: Some(owner_to_wire(owner)),
    };
    let failure = |(port, owner, error): &(u16, PortOwner, String)| wire::BindFailure {
        container_port: u32::from(*port),
        owner: Some(owner_to_wire(owner)),
        error: error.clone(),
    };
    wire::ReportRequest {
        instance: report.instance.to_string(),
        pod_namespace: report.pod.namespace.to_string(),
        pod_name: report.pod.name.to_string(),
        addresses: report.addresses.iter().map(IpAddr::to_string).collect(),
        serving: report.serving,
        draining: report.draining,
        table_version: report.table_version,
        bound: report.bound.iter().map(bound).collect(),
        bind_failures: report.bind_failures.iter().map(failure).collect(),
        links: report.links.iter().map(link_to_wire).collect(),
        refused: refused_to_wire(&report.strangers),
    }
}

/// Reads a report. A port of a transport that we do not know is left out, as a later version
/// may have more of them.
pub fn from_wire(report: &wire::ReportRequest) -> Result<GatewayReport, BadReport> {
    let address = |text: &String| {
        text.parse().map_err(|_: AddrParseError| BadReport::Address {
            instance: report.instance.clone(),
            address: text.clone(),
        })
    };
    let bound = report.bound.iter().filter_map(|bound| {
        owned(&report.instance, bound.container_port, bound.owner.as_ref()).transpose()
    });
    let failures = report.bind_failures.iter().filter_map(|failure| {
        let owned = owned(&report.instance, failure.container_port, failure.owner.as_ref());
        let with_error = |(port, owner)| (port, owner, failure.error.clone());
        owned.map(|owned| owned.map(with_error)).transpose()
    });
    Ok(GatewayReport {
        instance: report.instance.as_str().into(),
        pod: Name::new(&report.pod_namespace, &report.pod_name),
        addresses: report.addresses.iter().map(address).collect::<Result<_, _>>()?,
        serving: report.serving,
        draining: report.draining,
        table_version: report.table_version,
        bound: bound.collect::<Result<_, _>>()?,
        bind_failures: failures.collect::<Result<_, _>>()?,
        links: report.links.iter().map(link_from_wire).collect(),
        strangers: refused_from_wire(&report.refused),
    })
}

/// Writes what the leader says to a gateway, and which of its siblings drain.
pub fn word_to_wire(word: LeaderWord, draining: &[Arc<str>]) -> wire::ReportReply {
    let standing = wire::Standing {
        in_slices: word.in_slices,
        removed: word.removed,
        draining: draining.iter().map(ToString::to_string).collect(),
    };
    wire::ReportReply { word: Some(wire::report_reply::Word::Standing(standing)) }
}

fn owner_to_wire(owner: &PortOwner) -> wire::PortOwner {
    wire::PortOwner {
        uid: owner.uid.to_string(),
        transport: wire::Transport::Tcp.into(),
        port: u32::from(owner.port),
    }
}

fn owned(
    instance: &str,
    port: u32,
    owner: Option<&wire::PortOwner>,
) -> Result<Option<(u16, PortOwner)>, BadReport> {
    let number = |port: u32| {
        u16::try_from(port).map_err(|_| BadReport::Port { instance: instance.to_owned(), port })
    };
    let owner = owner.ok_or_else(|| BadReport::Owner { instance: instance.to_owned(), port })?;
    if wire::Transport::try_from(owner.transport) != Ok(wire::Transport::Tcp) {
        return Ok(None);
    }
    let owner_port = number(owner.port)?;
    Ok(Some((number(port)?, PortOwner { uid: owner.uid.as_str().into(), port: owner_port })))
}

fn link_to_wire(link: &LinkReport) -> wire::LinkState {
    let (reason, message) = link.problem.clone().unwrap_or_default();
    wire::LinkState {
        link: link.link.to_string(),
        connected: link.connected,
        reason: reason.to_string(),
        message,
        // The catalog stream stands only with a peer that was verified.
        trusted: link.connected,
        synced_age_ms: (link.age_seconds != NEVER).then(|| link.age_seconds.saturating_mul(1000)),
        catalog_version: std::collections::HashMap::new(),
        services: link.services,
        endpoints: 0,
        refused: refused_to_wire(&link.refused),
    }
}

fn link_from_wire(link: &wire::LinkState) -> LinkReport {
    let problem = !link.reason.is_empty();
    LinkReport {
        link: link.link.as_str().into(),
        connected: link.connected,
        problem: problem.then(|| (link.reason.as_str().into(), link.message.clone())),
        age_seconds: link.synced_age_ms.map_or(NEVER, |age| age / 1000),
        refused: refused_from_wire(&link.refused),
        services: link.services,
    }
}

fn refused_to_wire(refused: &[(Arc<str>, u64)]) -> Vec<wire::RefusedPeers> {
    let peers = |(reason, count): &(Arc<str>, u64)| wire::RefusedPeers {
        reason: reason.to_string(),
        spiffe_id: String::new(),
        count: *count,
    };
    refused.iter().map(peers).collect()
}

fn refused_from_wire(refused: &[wire::RefusedPeers]) -> Vec<(Arc<str>, u64)> {
    refused.iter().map(|peers| (peers.reason.as_str().into(), peers.count)).collect()
}
