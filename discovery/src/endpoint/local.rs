//! Reads the endpoints of a Service in this cluster from its `EndpointSlice`s.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest;
use config::resources::ServiceSlices;
use k8s_openapi::api::discovery::v1::{self, EndpointSlice};

use super::EndpointId;
use crate::catalog::{CatalogPort, Transport};
use crate::export::is_ours;

/// One pod, or another address, that answers for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEndpoint {
    /// Where.
    pub ip: IpAddr,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// Its port behind each TCP port of the Service that it serves, by the Service's port number.
    pub ports: BTreeMap<u16, u16>,
    /// Whether new requests may be sent to it.
    pub state: EndpointState,
}

/// How far an endpoint may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// For new requests.
    Ready,
    /// It leaves but still answers: used only while no endpoint of the Service is ready
    /// (as kube-proxy does, KEP-1669), or when somebody chose it a moment ago.
    Leaving,
}

impl LocalEndpoint {
    /// Its address behind the Service's port `number`.
    pub fn address(&self, number: u16) -> Option<SocketAddr> {
        self.ports.get(&number).map(|port| SocketAddr::new(self.ip, *port))
    }
}

/// The endpoints of a Service by their ids, which `salt` keeps opaque. Slices of ours name
/// gateways and are left out, and so are addresses that no endpoint can have.
pub fn read(
    ports: &[CatalogPort],
    slices: &ServiceSlices,
    salt: &str,
) -> BTreeMap<EndpointId, LocalEndpoint> {
    let of_family = |family: &str| {
        let fits =
            |slice: &&Arc<EndpointSlice>| slice.address_type == family && !is_ours(&slice.metadata);
        read_slices(ports, slices.values().filter(fits), salt)
    };
    // A dual-stack pod stands in the slices of both families and is one endpoint.
    let endpoints = of_family("IPv4");
    if endpoints.is_empty() { of_family("IPv6") } else { endpoints }
}

/// Of those that are read, the ones for new requests: the ready ones; if there is none, those
/// that leave and still answer.
pub fn usable(
    endpoints: &BTreeMap<EndpointId, LocalEndpoint>,
) -> impl Iterator<Item = (&EndpointId, &LocalEndpoint)> {
    let any_ready = endpoints.values().any(|endpoint| endpoint.state == EndpointState::Ready);
    let wanted = if any_ready { EndpointState::Ready } else { EndpointState::Leaving };
    endpoints.iter().filter(move |(_, endpoint)| endpoint.state == wanted)
}

fn read_slices<'a>(
    ports: &[CatalogPort],
    slices: impl Iterator<Item = &'a Arc<EndpointSlice>>,
    salt: &str,
) -> BTreeMap<EndpointId, LocalEndpoint> {
    let mut all: BTreeMap<EndpointId, LocalEndpoint> = BTreeMap::new();
    for slice in slices {
        let served = served(ports, slice);
        for endpoint in slice.endpoints.iter().filter(|_| !served.is_empty()) {
            let Some(state) = state(endpoint) else { continue };
            // All addresses of an endpoint are fungible; Kubernetes itself writes one.
            let Some(ip) = endpoint.addresses.first().and_then(|text| address(text)) else {
                continue;
            };
            let entry = all.entry(id(endpoint, ip, salt)).or_insert_with(|| LocalEndpoint {
                ip,
                zone: endpoint.zone.as_deref().map(Into::into),
                ports: BTreeMap::new(),
                state,
            });
            entry.ports.extend(served.iter().copied());
        }
    }
    all
}

/// The TCP ports of the Service that the slice serves, each with the endpoint's own port.
fn served(ports: &[CatalogPort], slice: &EndpointSlice) -> Vec<(u16, u16)> {
    let target = |wanted: &CatalogPort| {
        let port = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == &*wanted.name
                && Transport::parse(port.protocol.as_deref()) == Some(wanted.transport)
        })?;
        u16::try_from(port.port?).ok().filter(|number| *number > 0)
    };
    let tcp = ports.iter().filter(|port| port.transport == Transport::Tcp);
    tcp.filter_map(|port| Some((port.number, target(port)?))).collect()
}

/// `None` for an endpoint that does not answer.
fn state(endpoint: &v1::Endpoint) -> Option<EndpointState> {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|it| it.ready).unwrap_or(true);
    let serving = conditions.and_then(|it| it.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|it| it.terminating).unwrap_or(false);
    match (ready, serving, terminating) {
        (true, _, false) => Some(EndpointState::Ready),
        (_, true, true) => Some(EndpointState::Leaving),
        _ => None,
    }
}

/// An address that an endpoint can have: not that of a metadata service, of everybody or of
/// nobody. Loopback, which an API server refuses, is how a cluster from a directory runs.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok()?.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    (!link_local && !ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

/// How many bytes of the digest make an id: 26 letters, and no two endpoints share one by chance.
const ID_BYTES: usize = 16;

/// The same for the same pod at the same address on every replica, another after a replacement.
fn id(endpoint: &v1::Endpoint, ip: IpAddr, salt: &str) -> EndpointId {
    let target = endpoint.target_ref.as_ref();
    let uid = target.and_then(|target| target.uid.as_deref()).unwrap_or_default();
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [salt, uid, &ip.to_string()] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let digest = context.finish();
    EndpointId(base32(digest.as_ref().get(..ID_BYTES).unwrap_or_default()).into())
}

/// Lower-case letters and the digits 2 to 7: what may stand in a DNS label.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(letter(bits >> count));
        }
    }
    if count > 0 {
        text.push(letter(bits << (5 - count)));
    }
    text
}

fn letter(bits: u32) -> char {
    let index = u8::try_from(bits & 31).unwrap_or_default();
    char::from(if index < 26 { b'a' + index } else { b'2' + (index - 26) })
}

#[cfg(test)]
mod tests;
