//! What clients of an HTTPS listener must present (`Gateway.spec.tls.frontend`, GEP-91).

use std::sync::Arc;

use super::certificate::{Der, certificates, permitted};
use super::gateway::Needs;
use super::reference::{CertificateRef, port_number};
use super::world::World;
use crate::api::gateway::gateway as gw;
use crate::model::{Kind, Name, ObjectRef};
use crate::table::ClientAuth;
use crate::verdict::Rejected;

/// What was asked for a port.
struct Asked {
    references: Vec<CertificateRef>,
    fallback: bool,
}

/// What a port's clients must present, and the first reference that does not hold.
pub(super) struct Found {
    /// `None`: no reference holds, so no client could be judged and none may come in.
    pub(super) auth: Option<ClientAuth>,
    pub(super) problem: Option<Rejected>,
}

/// What clients of the HTTPS listeners on `port` must present.
pub(super) fn of_port(
    world: &World<'_>,
    gateway: &Name,
    frontend: Option<&gw::GatewayTlsFrontend>,
    (port, needs): (u16, &mut Needs),
) -> Found {
    let Some(asked) = frontend.and_then(|frontend| asked(frontend, port)) else {
        return Found { auth: Some(ClientAuth::NotAsked), problem: None };
    };
    let mut authorities = Vec::new();
    let mut problem = None;
    for reference in &asked.references {
        match read(world, gateway, reference, needs) {
            Ok(more) => authorities.extend(more),
            Err(rejected) => problem = problem.or(Some(rejected)),
        }
    }
    let authorities: Arc<[Der]> = authorities.into();
    let auth = match (authorities.is_empty(), asked.fallback) {
        (true, _) => None,
        (false, true) => Some(ClientAuth::Fallback(authorities)),
        (false, false) => Some(ClientAuth::Required(authorities)),
    };
    Found { auth, problem }
}

fn asked(frontend: &gw::GatewayTlsFrontend, port: u16) -> Option<Asked> {
    let mut own = frontend.per_port.iter().flatten();
    if let Some(own) = own.find(|one| port_number(one.port) == Some(port)) {
        let validation = own.tls.validation.as_ref()?;
        return Some(Asked {
            references: validation.ca_certificate_refs.iter().map(Into::into).collect(),
            fallback: validation.mode
                == Some(gw::GatewayTlsFrontendPerPortTlsValidationMode::AllowInsecureFallback),
        });
    }
    let validation = frontend.default.validation.as_ref()?;
    Some(Asked {
        references: validation.ca_certificate_refs.iter().map(Into::into).collect(),
        fallback: validation.mode
            == Some(gw::GatewayTlsFrontendDefaultValidationMode::AllowInsecureFallback),
    })
}

fn read(
    world: &World<'_>,
    gateway: &Name,
    reference: &CertificateRef,
    needs: &mut Needs,
) -> Result<Vec<Der>, Rejected> {
    if !reference.group.is_empty() || reference.kind != "ConfigMap" {
        let message = format!("CA certificates of kind {} are not supported", reference.kind);
        return Err(Rejected::new("InvalidCACertificateKind", message));
    }
    let name = permitted(world, gateway, reference)?;
    needs.wanted.insert(ObjectRef::new(Kind::ConfigMap, name.clone()));
    let invalid =
        |what: &str| Rejected::new("InvalidCACertificateRef", format!("ConfigMap {name} {what}"));
    let object = world.config_map(&name).ok_or_else(|| invalid("does not exist"))?;
    let text = object.data.get("ca.crt");
    let text = text.ok_or_else(|| invalid("has no `ca.crt`"))?;
    certificates(text.as_bytes()).map_err(|what| invalid(&format!("has a `ca.crt` that {what}")))
}
