//! Which exports are valid, and what they offer.

use serde_json::json;

use super::*;
use crate::samples::{service, service_export};

fn reason(declared: &ServiceExport, service: Option<&Service>) -> ExportReason {
    export(declared, service).map_or_else(|why| why.reason, |_| ExportReason::Valid)
}

#[test]
fn an_export_without_a_service_says_so() {
    let why = export(&service_export(&json!({})), None).unwrap_err();
    assert_eq!(why.reason, ExportReason::NoService);
    assert_eq!(why.generation, Some(3));
    assert_eq!(why.object.to_string(), "ServiceExport shop/web");
}

#[test]
fn an_external_name_is_no_valid_export() {
    let named = service(&json!({"spec": {"type": "ExternalName", "externalName": "a.example"}}));
    let declared = service_export(&json!({}));
    assert_eq!(reason(&declared, Some(&named)), ExportReason::InvalidServiceType);
}

#[test]
fn what_we_wrote_is_never_exported() {
    let mark = json!({"metadata": {"labels": {"spanway.dev/managed-by": "spanway"}}});
    let (theirs, ours) = (json!({}), mark);
    let declared = service_export(&theirs);
    assert_eq!(reason(&declared, Some(&service(&ours))), ExportReason::InvalidServiceType);
    assert_eq!(reason(&declared, Some(&service(&theirs))), ExportReason::Valid);
}

#[test]
fn an_export_carries_what_the_import_needs() {
    let declared = service_export(&json!({
        "metadata": {"labels": {"team": "a"}},
        "spec": {"exportedLabels": {"tier": "front"}, "exportedAnnotations": {"note": "x"}},
    }));
    let service = service(&json!({"spec": {
        "sessionAffinity": "ClientIP",
        "internalTrafficPolicy": "Cluster",
        "trafficDistribution": "PreferClose",
        "ipFamilies": ["IPv4"],
        "ports": [
            {"name": "http", "port": 80, "appProtocol": "http"},
            {"name": "dns", "port": 53, "protocol": "UDP"},
        ],
    }}));
    let found = export(&declared, Some(&service)).unwrap();
    let said = &found.service;
    assert_eq!(said.exported_at, 100);
    assert_eq!(said.session_affinity_seconds, Some(10_800), "Kubernetes' default");
    assert_eq!(said.traffic_distribution.as_deref(), Some("PreferClose"));
    assert_eq!(said.labels.get("tier").map(|it| &**it), Some("front"));
    assert_eq!(said.annotations.get("note").map(|it| &**it), Some("x"));
    let transports: Vec<_> = said.ports.iter().map(|it| (it.number, it.transport)).collect();
    assert_eq!(transports, [(80, Transport::Tcp), (53, Transport::Udp)]);
    assert_eq!(found.labels.get("team").map(|it| &**it), Some("a"));
}

#[test]
fn a_service_without_cluster_ip_is_headless() {
    let headless = service(&json!({"spec": {"clusterIP": "None"}}));
    assert!(export(&service_export(&json!({})), Some(&headless)).unwrap().service.headless);
}
