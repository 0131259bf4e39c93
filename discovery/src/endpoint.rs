//! Endpoints: who answers for a service, here or behind a remote gateway.

pub mod build;
pub mod local;
mod sets;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use config::model::{AppProtocol, HashMap, LinkName, Name};
use imbl::OrdSet;

pub use self::sets::EndpointSets;

/// The longest endpoint id: a DNS label with room for what the SNI adds.
pub const ENDPOINT_ID_LENGTH_MAX: usize = 40;

/// Names an endpoint within its service port. Opaque to the near cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub Arc<str>);

/// One address that answers for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// How it is reached.
    pub reach: Reach,
    /// `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// In this cluster, by its address.
    Direct(SocketAddr),
    /// In another cluster, through a gateway of the link.
    Via(LinkTarget),
}

impl Hash for Reach {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // Each request looks endpoints up several times: an address and its port are one number
            // here, where a derived hash writes each part by itself.
            Self::Direct(SocketAddr::V4(address)) => {
                let ip = u64::from(address.ip().to_bits());
                state.write_u64(ip << 16 | u64::from(address.port()));
            }
            Self::Direct(SocketAddr::V6(address)) => address.hash(state),
            Self::Via(target) => target.hash(state),
        }
    }
}

/// What a link connection is for; its `sni` names it to the far gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkTarget {
    /// The link.
    pub link: LinkName,
    /// The exported Service.
    pub service: Name,
    /// The exporter's port number.
    pub port: u16,
    /// The endpoint; without one the far gateway picks.
    pub endpoint: Option<EndpointId>,
}

/// Ends every SNI of a link connection.
const SNI_SUFFIX: &str = ".svc.clusterset.local";

impl LinkTarget {
    /// `[<endpoint>.]<port>.<service>.<namespace>.svc.clusterset.local`.
    pub fn sni(&self) -> String {
        let Name { namespace, name } = &self.service;
        let port = self.port;
        match &self.endpoint {
            Some(id) => format!("{}.{port}.{name}.{namespace}{SNI_SUFFIX}", id.0),
            None => format!("{port}.{name}.{namespace}{SNI_SUFFIX}"),
        }
    }

    /// Reads the SNI that a peer of `link` sent.
    pub fn parse(link: &LinkName, sni: &str) -> Result<Self, InvalidSni> {
        let invalid = || InvalidSni { sni: sni.into() };
        let labels: Vec<&str> =
            sni.strip_suffix(SNI_SUFFIX).ok_or_else(invalid)?.split('.').collect();
        let (endpoint, port, name, namespace) = match labels[..] {
            [port, name, namespace] => (None, port, name, namespace),
            [id, port, name, namespace] => (Some(id), port, name, namespace),
            _ => return Err(invalid()),
        };
        let too_long = endpoint.is_some_and(|id| id.len() > ENDPOINT_ID_LENGTH_MAX);
        if too_long || labels.iter().any(|label| label.is_empty()) {
            return Err(invalid());
        }
        Ok(Self {
            link: Arc::clone(link),
            service: Name::new(namespace, name),
            port: port.parse().map_err(|_| invalid())?,
            endpoint: endpoint.map(|id| EndpointId(id.into())),
        })
    }
}

/// An SNI that names no service port.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{sni}` is not [<endpoint>.]<port>.<service>.<namespace>{SNI_SUFFIX}")]
pub struct InvalidSni {
    sni: String,
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The endpoints under one key. Only those that may get new requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSet {
    /// What they speak.
    pub protocol: AppProtocol,
    /// In the order of their ids.
    pub endpoints: Arc<[Arc<Endpoint>]>,
}

/// How a linked cluster's gateways are reached now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkPeers {
    /// Resolved addresses of its gateways.
    pub addresses: Arc<[SocketAddr]>,
    /// Instance ids of its gateways that drain: their connections are left before they close.
    pub draining: OrdSet<Arc<str>>,
}

/// All endpoints, by the key that rules name. Immutable; one change makes a new table that
/// shares all else with the old.
#[derive(Clone, Debug, Default)]
pub struct EndpointTable {
    /// A key without an entry is not known yet; an empty set is known to have none.
    pub sets: EndpointSets,
    /// The remote gateways, by link.
    pub links: HashMap<LinkName, Arc<LinkPeers>>,
}
