//! Writes changes as messages, and reads what a peer sends, of which nothing is believed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use config::model::{AppProtocol, Name};
use imbl::OrdMap;
use prost::Message;

use super::generated as pb;
use super::{CatalogEndpoint, CatalogPort, CatalogService, Change, Transport, Version};
use crate::endpoint::{ENDPOINT_ID_LENGTH_MAX, EndpointId};

/// About the size of one part of an update: small enough that heartbeats are not held up.
pub(super) const PART_BYTES: usize = 128 * 1024;
/// The longest message that is sent or taken: one part with the largest service, whose labels and
/// annotations the API server limits to about 256 KiB each.
pub(super) const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The longest name of a namespace, service, port or zone: that of a DNS label.
const LABEL_BYTES_MAX: usize = 63;
/// The longest of the other texts: an annotation may be this long.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// How many ports a service may have: the API server's own limit on a slice.
const PORTS_MAX: usize = 100;
/// How many kinds a version may name: ours has fewer than 20.
const KINDS_MAX: usize = 64;
/// How many gateways may drain at once; a rollout drains a few.
const DRAINING_MAX: usize = 1024;

/// What a peer sent and cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCatalog {
    /// A text is empty, too long or has letters that it may not have.
    #[error("{0} `{1}` is not valid")]
    Text(&'static str, String),
    /// A part that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A list is too long.
    #[error("more than {1} {0}")]
    TooMany(&'static str, usize),
    /// A port has no such number.
    #[error("{0} is no port number")]
    Port(u32),
}

/// The next part of an update, about [`PART_BYTES`] long, from the front of `changes`.
pub(super) fn next_part(changes: &mut VecDeque<Change>, snapshot: bool) -> pb::Update {
    let mut part = pb::Update { snapshot, ..pb::Update::default() };
    let mut bytes = 0;
    while bytes < PART_BYTES {
        let Some(change) = changes.pop_front() else { break };
        bytes += push(&mut part, change);
    }
    part
}

/// Returns about how many bytes the change takes.
fn push(part: &mut pb::Update, change: Change) -> usize {
    match change {
        Change::PutService(name, head) => {
            let service = service(&name, &head);
            let bytes = service.encoded_len();
            part.services.push(service);
            bytes
        }
        Change::RemoveService(name) => {
            part.removed_services.push(write_name(&name));
            name.namespace.len() + name.name.len()
        }
        Change::PutEndpoint(name, id, known) => {
            let endpoint = endpoint(&name, &id, &known);
            let bytes = endpoint.encoded_len();
            part.endpoints.push(endpoint);
            bytes
        }
        Change::RemoveEndpoint(name, id) => {
            let removed =
                pb::RemovedEndpoint { service: Some(write_name(&name)), id: id.0.to_string() };
            let bytes = removed.encoded_len();
            part.removed_endpoints.push(removed);
            bytes
        }
        // These stand in the state, which is sent with the last part.
        Change::Draining(_) | Change::DrainedPercent(_) | Change::Version(_) => 0,
    }
}

pub(super) fn state(catalog: &super::Catalog) -> pb::State {
    pb::State {
        version: write_version(&catalog.version),
        draining: catalog.draining.iter().map(ToString::to_string).collect(),
        drained_percent: catalog.drained_percent.into(),
    }
}

pub(super) fn write_version(version: &Version) -> HashMap<String, u64> {
    version.iter().map(|(kind, version)| (kind.to_string(), *version)).collect()
}

fn write_name(name: &Name) -> pb::ServiceName {
    pb::ServiceName { namespace: name.namespace.to_string(), name: name.name.to_string() }
}

fn service(name: &Name, service: &CatalogService) -> pb::Service {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let texts = |map: &OrdMap<Arc<str>, Arc<str>>| {
        map.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    let port = |port: &CatalogPort| pb::Port {
        name: port.name.to_string(),
        number: port.number.into(),
        transport: port.transport.label().to_owned(),
        app_protocol: text(&port.app_protocol),
    };
    pb::Service {
        name: Some(write_name(name)),
        exported_at: service.exported_at,
        headless: service.headless,
        ports: service.ports.iter().map(port).collect(),
        session_affinity_seconds: service.session_affinity_seconds,
        internal_traffic_policy: text(&service.internal_traffic_policy),
        traffic_distribution: text(&service.traffic_distribution),
        labels: texts(&service.labels),
        annotations: texts(&service.annotations),
        ip_families: service.ip_families.iter().map(ToString::to_string).collect(),
    }
}

fn endpoint(name: &Name, id: &EndpointId, endpoint: &CatalogEndpoint) -> pb::Endpoint {
    let names = |ports: &Vec<Arc<str>>| pb::PortNames {
        names: ports.iter().map(ToString::to_string).collect(),
    };
    pb::Endpoint {
        service: Some(write_name(name)),
        id: id.0.to_string(),
        zone: endpoint.zone.as_deref().map(str::to_owned),
        ports: endpoint.ports.as_ref().map(names),
    }
}

/// The changes in a part of an update, in the order in which they are to be taken; what is not
/// valid costs itself.
pub(super) fn read_part(part: pb::Update) -> Vec<Result<Change, InvalidCatalog>> {
    let removed = part
        .removed_services
        .into_iter()
        .map(|name| Ok(Change::RemoveService(read_name(Some(name))?)));
    let services = part.services.into_iter().map(|service| {
        let (name, head) = read_service(service)?;
        Ok(Change::PutService(name, Arc::new(head)))
    });
    let gone = part
        .removed_endpoints
        .into_iter()
        .map(|gone| Ok(Change::RemoveEndpoint(read_name(gone.service)?, read_id(gone.id)?)));
    let endpoints = part.endpoints.into_iter().map(read_endpoint);
    removed.chain(services).chain(gone).chain(endpoints).collect()
}

/// The changes that the last part of an update ends with.
pub(super) fn read_state(state: pb::State) -> Result<[Change; 3], InvalidCatalog> {
    if state.draining.len() > DRAINING_MAX {
        return Err(InvalidCatalog::TooMany("draining gateways", DRAINING_MAX));
    }
    let draining = state.draining.into_iter().map(|id| read_text("instance", id, LABEL_BYTES_MAX));
    let percent = u8::try_from(state.drained_percent.min(100)).unwrap_or(100);
    Ok([
        Change::Draining(draining.collect::<Result<_, _>>()?),
        Change::DrainedPercent(percent),
        Change::Version(read_version(state.version)?),
    ])
}

pub(super) fn read_version(version: HashMap<String, u64>) -> Result<Version, InvalidCatalog> {
    if version.len() > KINDS_MAX {
        return Err(InvalidCatalog::TooMany("kinds in a version", KINDS_MAX));
    }
    let pair = |(kind, version)| Ok((read_text("kind", kind, LABEL_BYTES_MAX)?, version));
    version.into_iter().map(pair).collect()
}

fn read_service(service: pb::Service) -> Result<(Name, CatalogService), InvalidCatalog> {
    if service.ports.len() > PORTS_MAX {
        return Err(InvalidCatalog::TooMany("ports", PORTS_MAX));
    }
    let text = |what, text: Option<String>| {
        text.map(|text| read_text(what, text, LABEL_BYTES_MAX)).transpose()
    };
    let pairs = |map: HashMap<String, String>| -> Result<OrdMap<_, Arc<str>>, InvalidCatalog> {
        let key = |key| read_text("label or annotation", key, TEXT_BYTES_MAX);
        map.into_iter().map(|(k, value)| Ok((key(k)?, Arc::from(value)))).collect()
    };
    let families = service.ip_families.into_iter().take(2);
    let head = CatalogService {
        exported_at: service.exported_at,
        headless: service.headless,
        // A port with a transport of later days costs itself.
        ports: service
            .ports
            .into_iter()
            .filter_map(|it| read_port(it).transpose())
            .collect::<Result<_, _>>()?,
        endpoints: OrdMap::new(),
        session_affinity_seconds: service.session_affinity_seconds,
        internal_traffic_policy: text("internalTrafficPolicy", service.internal_traffic_policy)?,
        traffic_distribution: text("trafficDistribution", service.traffic_distribution)?,
        labels: pairs(service.labels)?,
        annotations: pairs(service.annotations)?,
        ip_families: families
            .map(|family| read_text("ipFamily", family, LABEL_BYTES_MAX))
            .collect::<Result<_, _>>()?,
    };
    Ok((read_name(service.name)?, head))
}

fn read_port(port: pb::Port) -> Result<Option<CatalogPort>, InvalidCatalog> {
    let Some(transport) = Transport::parse(Some(&port.transport)) else { return Ok(None) };
    let number = u16::try_from(port.number).ok().filter(|number| *number > 0);
    let name = if port.name.is_empty() { "".into() } else { read_label("port", port.name)? };
    let app_protocol = port.app_protocol;
    Ok(Some(CatalogPort {
        name,
        number: number.ok_or(InvalidCatalog::Port(port.number))?,
        transport,
        protocol: AppProtocol::parse(app_protocol.as_deref()),
        app_protocol: app_protocol
            .map(|text| read_text("appProtocol", text, TEXT_BYTES_MAX))
            .transpose()?,
    }))
}

fn read_endpoint(endpoint: pb::Endpoint) -> Result<Change, InvalidCatalog> {
    let names = |ports: pb::PortNames| -> Result<Vec<Arc<str>>, InvalidCatalog> {
        if ports.names.len() > PORTS_MAX {
            return Err(InvalidCatalog::TooMany("ports of an endpoint", PORTS_MAX));
        }
        let name = |name: String| match &*name {
            "" => Ok("".into()),
            _ => read_label("port", name),
        };
        ports.names.into_iter().map(name).collect()
    };
    let known = CatalogEndpoint {
        zone: endpoint.zone.map(|zone| read_text("zone", zone, LABEL_BYTES_MAX)).transpose()?,
        ports: endpoint.ports.map(names).transpose()?,
    };
    let service = read_name(endpoint.service)?;
    Ok(Change::PutEndpoint(service, read_id(endpoint.id)?, Arc::new(known)))
}

fn read_id(id: String) -> Result<EndpointId, InvalidCatalog> {
    if id.len() > ENDPOINT_ID_LENGTH_MAX {
        return Err(InvalidCatalog::Text("endpoint id", quoted(&id)));
    }
    Ok(EndpointId(read_label("endpoint id", id)?))
}

fn read_name(name: Option<pb::ServiceName>) -> Result<Name, InvalidCatalog> {
    let name = name.ok_or(InvalidCatalog::Missing("the name of a service"))?;
    Ok(Name {
        namespace: read_label("namespace", name.namespace)?,
        name: read_label("service", name.name)?,
    })
}

/// A DNS label: it becomes part of names here and of an SNI.
fn read_label(what: &'static str, text: String) -> Result<Arc<str>, InvalidCatalog> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = text.as_bytes();
    let valid = bytes.len() <= LABEL_BYTES_MAX
        && bytes.iter().all(|b| allowed(*b))
        && edge(bytes.first())
        && edge(bytes.last());
    if valid { Ok(text.into()) } else { Err(InvalidCatalog::Text(what, quoted(&text))) }
}

fn read_text(
    what: &'static str,
    text: String,
    bytes_max: usize,
) -> Result<Arc<str>, InvalidCatalog> {
    let valid = !text.is_empty() && text.len() <= bytes_max && !text.contains(char::is_control);
    if valid { Ok(text.into()) } else { Err(InvalidCatalog::Text(what, quoted(&text))) }
}

/// The beginning of what a peer sent, fit for a condition.
fn quoted(text: &str) -> String {
    text.chars().take(LABEL_BYTES_MAX).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests;
