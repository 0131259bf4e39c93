//! Which clusters answer for an imported service, and with which endpoints.

use std::sync::Arc;

use config::api::cluster_link::WhenStale;
use config::model::{LinkName, Name};

use super::{Endpoint, Inputs, LinkInput, Reach};
use crate::catalog::{CatalogPort, CatalogService, Transport};
use crate::endpoint::LinkTarget;
use crate::freshness::Freshness;

/// A cluster that exports the service.
pub(super) struct Candidate<'a> {
    pub(super) service: &'a CatalogService,
    /// The link; `None` for this cluster.
    link: Option<&'a LinkName>,
    standing: Standing,
}

/// Whether the endpoints of a cluster are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Like all others.
    Use,
    /// Only where no other cluster has one.
    Last,
    /// Never.
    Out,
}

/// What the link's staleness policy makes of what is known of it. A cluster that says that it is
/// drained is the last to be asked.
pub(super) fn standing(LinkInput { link, state }: &LinkInput) -> Standing {
    let lost = state.freshness == Freshness::Lost;
    match (lost, link.staleness.then) {
        (true, WhenStale::Withdraw) => Standing::Out,
        (true, WhenStale::Degrade) => Standing::Last,
        _ if state.catalog.drained_percent >= 100 => Standing::Last,
        _ => Standing::Use,
    }
}

/// The clusters that export `name`, the oldest export first: those of `only` one link, or of all,
/// with or without this one.
pub(super) fn candidates<'a>(
    inputs: &Inputs<'a>,
    name: &Name,
    only: Option<&LinkName>,
    local: bool,
) -> Vec<Candidate<'a>> {
    let here = inputs.exports.services.get(name).filter(|_| local).map(|exported| Candidate {
        service: &exported.service,
        link: None,
        standing: Standing::Use,
    });
    let links = inputs.links.iter().filter(|(link, input)| {
        only.is_none_or(|only| only == *link)
            && input.link.imports(&name.namespace, inputs.namespaces)
    });
    let remote = links.filter_map(|(link, input)| {
        let service = input.state.catalog.services.get(name)?;
        Some(Candidate { service, link: Some(link), standing: standing(input) })
    });
    let mut all: Vec<_> = here.into_iter().chain(remote).collect();
    all.sort_by_key(|candidate| (candidate.service.exported_at, candidate.link));
    all
}

/// The endpoints of all candidates that have the TCP port `number`; `here` are those of this
/// cluster, which are used if it is a candidate.
pub(super) fn endpoints(
    name: &Name,
    number: u16,
    candidates: &[Candidate<'_>],
    here: &[Arc<Endpoint>],
) -> Vec<Arc<Endpoint>> {
    let of = |wanted: Standing| {
        let mut endpoints = Vec::new();
        for candidate in candidates.iter().filter(|candidate| candidate.standing == wanted) {
            let with =
                |port: &&CatalogPort| port.transport == Transport::Tcp && port.number == number;
            let Some(port) = candidate.service.ports.iter().find(with) else { continue };
            match candidate.link {
                None => endpoints.extend(here.iter().cloned()),
                Some(link) => via(&mut endpoints, link, name, (candidate.service, port)),
            }
        }
        endpoints
    };
    let endpoints = of(Standing::Use);
    if endpoints.is_empty() { of(Standing::Last) } else { endpoints }
}

fn via(
    endpoints: &mut Vec<Arc<Endpoint>>,
    link: &LinkName,
    name: &Name,
    (service, port): (&CatalogService, &CatalogPort),
) {
    for (id, endpoint) in &service.endpoints {
        if endpoint.ports.as_ref().is_some_and(|ports| !ports.contains(&port.name)) {
            continue;
        }
        let target = LinkTarget {
            link: Arc::clone(link),
            service: name.clone(),
            port: port.number,
            endpoint: Some(id.clone()),
        };
        endpoints.push(Arc::new(Endpoint {
            id: id.clone(),
            reach: Reach::Via(target),
            zone: endpoint.zone.clone(),
        }));
    }
}
