//! `/api/v1/endpoints`: who answers, as requests see it.

use config::model::AppProtocol;
use discovery::endpoint::{EndpointSet, EndpointTable, Reach};
use serde::{Deserialize, Serialize};

/// All endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// By the backend that rules name, in its order.
    pub sets: Vec<Set>,
    /// The gateways of linked clusters.
    pub gateways: Vec<Gateways>,
}

/// The endpoints of one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Such as `Service shop/web:80`.
    pub backend: String,
    /// What they speak.
    pub protocol: String,
    /// Those that may get new requests.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// The link to its cluster, or `local`.
    pub cluster: String,
    /// Its address; for one behind a remote gateway the name that the gateway knows it by.
    pub address: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// The gateways of a linked cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateways {
    /// The link.
    pub link: String,
    /// Their addresses.
    pub addresses: Vec<String>,
    /// The instance ids of those that drain.
    pub draining: Vec<String>,
}

impl Endpoints {
    /// What `table` holds.
    pub fn of(table: &EndpointTable) -> Self {
        let mut sets: Vec<_> = table
            .sets
            .iter()
            .map(|(key, set)| Set {
                backend: key.to_string(),
                protocol: protocol(&set.protocol).to_owned(),
                endpoints: of_set(set),
            })
            .collect();
        sets.sort_by(|one, other| one.backend.cmp(&other.backend));
        let mut gateways: Vec<_> = table
            .links
            .iter()
            .map(|(link, peers)| Gateways {
                link: link.to_string(),
                addresses: peers.addresses.iter().map(ToString::to_string).collect(),
                draining: peers.draining.iter().map(ToString::to_string).collect(),
            })
            .collect();
        gateways.sort_by(|one, other| one.link.cmp(&other.link));
        Self { sets, gateways }
    }
}

/// The endpoints of `set`.
pub(super) fn of_set(set: &EndpointSet) -> Vec<Endpoint> {
    let one = |endpoint: &discovery::endpoint::Endpoint| {
        let (cluster, address) = match &endpoint.reach {
            Reach::Direct(address) => ("local".to_owned(), address.to_string()),
            Reach::Via(target) => (target.link.to_string(), target.sni()),
        };
        let zone = endpoint.zone.as_deref().map(str::to_owned);
        Endpoint { id: endpoint.id.to_string(), cluster, address, zone }
    };
    set.endpoints.iter().map(|endpoint| one(endpoint)).collect()
}

/// The word for what a port speaks.
pub(super) fn protocol(protocol: &AppProtocol) -> &str {
    match protocol {
        AppProtocol::Unset => "unset",
        AppProtocol::Http1 => "http/1.1",
        AppProtocol::H2c => "h2c",
        AppProtocol::Opaque(name) => name,
    }
}
