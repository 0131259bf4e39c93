//! What credentials are made of, gathered from what follows from the objects.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use config::compile::CertificatePem;
use config::model::Name;
use config::model::identity::TrustDomain;
use config::table::{PortServes, RoutingTable, SniAction};
use discovery::link::Link;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::tls::credentials::{Inputs, PemPair, Termination};
use crate::tls::svid::Svid;
use crate::tls::trust::LinkTrust;

/// What the credentials for `table` are made of.
pub(super) fn inputs(
    (own, svid): (&TrustDomain, Option<&Arc<Svid>>),
    links: &[Link],
    certificates: &BTreeMap<Name, Arc<CertificatePem>>,
    table: &RoutingTable,
) -> Inputs {
    let pem = |pem: &Arc<CertificatePem>| PemPair {
        chain: Arc::clone(&pem.chain),
        key: Arc::clone(&pem.key),
    };
    Inputs {
        own: own.clone(),
        svid: svid.cloned(),
        links: links.iter().map(trust).collect(),
        certificates: certificates.iter().map(|(name, it)| (name.clone(), pem(it))).collect(),
        terminations: terminations(table),
    }
}

fn trust(link: &Link) -> LinkTrust {
    let certificates = CertificateDer::pem_slice_iter(link.bundle.as_bytes());
    LinkTrust {
        link: Arc::clone(&link.name),
        trust_domain: link.trust_domain.clone(),
        bundle: certificates.filter_map(Result::ok).collect(),
        gateways: link.gateways.iter().cloned().collect(),
    }
}

fn terminations(table: &RoutingTable) -> HashSet<Termination> {
    let tls = table.ports.values().filter_map(|port| match &port.serves {
        PortServes::Tls(table) => Some(table),
        PortServes::Http(_) | PortServes::Mirrored(_) => None,
    });
    let actions = tls.flat_map(|table| table.actions.iter());
    let ended = actions.filter_map(|(_, action)| match action.as_ref() {
        SniAction::Terminate(by) => Some(Termination::from(by.as_ref())),
        SniAction::Passthrough(_) => None,
    });
    ended.collect()
}
