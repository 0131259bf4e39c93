//! Who a `backendRef` means.

use k8s_openapi::api::core::v1::Service;

use super::grant::{Side, permits};
use super::reference::{BackendRef, GATEWAY_GROUP, MCS_GROUP, port_number};
use super::world::World;
use crate::marks::Standing;
use crate::model::{AppProtocol, BackendKey, Name, ObjectRef, ServicePort};
use crate::verdict::Rejected;

/// What is carried to the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carries {
    Requests,
    Bytes,
}

/// The key of the backend, or why there is none.
pub(super) fn resolve(
    world: &World<'_>,
    route: &ObjectRef,
    backend: &BackendRef,
    carries: Carries,
) -> Result<BackendKey, Rejected> {
    let group = backend.group.as_deref().unwrap_or_default();
    let kind = backend.kind.as_deref().unwrap_or("Service");
    let is_import = match (group, kind) {
        ("", "Service") => false,
        (MCS_GROUP, "ServiceImport") => true,
        _ => {
            let message = format!("a backend of kind {kind} in group `{group}` is not supported");
            return Err(Rejected::new("InvalidKind", message));
        }
    };
    let namespace = backend.namespace.as_deref().unwrap_or(&route.name.namespace);
    let name = Name::new(namespace, &backend.name);
    let from = Side { group: GATEWAY_GROUP, kind: route.kind.label(), name: &route.name };
    if !permits(world, from, Side { group, kind, name: &name }) {
        let message =
            format!("no ReferenceGrant in `{namespace}` lets {route} refer to {kind} {name}");
        return Err(Rejected::new("RefNotPermitted", message));
    }
    let not_found = |what: &str| Rejected::new("BackendNotFound", format!("{kind} {name} {what}"));
    let port =
        backend.port.and_then(port_number).ok_or_else(|| not_found("is named without a port"))?;
    let wanted = ServicePort { service: name.clone(), port };
    if is_import {
        let import = world.import(&name).ok_or_else(|| not_found("does not exist"))?;
        let found = import.spec.ports.iter().find(|one| port_number(one.port) == Some(port));
        let found = found.ok_or_else(|| not_found(&format!("has no port {port}")))?;
        check(&wanted, found.protocol.as_deref(), found.app_protocol.as_deref(), carries)?;
        return Ok(BackendKey::Import(wanted));
    }
    let service = world.service(&name).ok_or_else(|| not_found("does not exist"))?;
    service_port(service, &wanted, carries).map_err(|what| match what {
        Problem::Missing(what) => not_found(&what),
        Problem::Rejected(rejected) => rejected,
    })?;
    Ok(match Standing::read(namespace, service.metadata.labels.as_ref()) {
        None => BackendKey::Service(wanted),
        // Straight to the endpoints that it stands for, never through our own port.
        Some(Standing::Mirrored { .. }) => BackendKey::Mirror(wanted),
        Some(Standing::Derived { import }) => {
            BackendKey::Import(ServicePort { service: import, port })
        }
    })
}

enum Problem {
    Missing(String),
    Rejected(Rejected),
}

fn service_port(service: &Service, wanted: &ServicePort, carries: Carries) -> Result<(), Problem> {
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        return Err(Problem::Missing("is an ExternalName, which is not followed".to_owned()));
    }
    let mut ports = spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten();
    let found = ports
        .find(|one| port_number(one.port) == Some(wanted.port) && is_tcp(one.protocol.as_deref()));
    let found =
        found.ok_or_else(|| Problem::Missing(format!("has no TCP port {}", wanted.port)))?;
    let app_protocol = found.app_protocol.as_deref();
    check(wanted, found.protocol.as_deref(), app_protocol, carries).map_err(Problem::Rejected)
}

/// Whether a port of this `protocol` can be carried.
pub(super) fn is_tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("" | "TCP"))
}

fn check(
    wanted: &ServicePort,
    protocol: Option<&str>,
    app_protocol: Option<&str>,
    carries: Carries,
) -> Result<(), Rejected> {
    let refuse = |what: &str| {
        let message = format!("port {wanted} speaks {what}, which is not supported here");
        Err(Rejected::new("UnsupportedProtocol", message))
    };
    if !is_tcp(protocol) {
        return refuse(protocol.unwrap_or_default());
    }
    match AppProtocol::parse(app_protocol) {
        AppProtocol::Opaque(name) if carries == Carries::Requests => refuse(&format!("`{name}`")),
        _ => Ok(()),
    }
}
