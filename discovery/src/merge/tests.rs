//! The conflict rules of KEP-1645.

use config::model::AppProtocol;

use super::*;

fn port(name: &str, number: u16, transport: Transport) -> CatalogPort {
    CatalogPort {
        name: name.into(),
        number,
        transport,
        protocol: AppProtocol::Unset,
        app_protocol: None,
    }
}

fn tcp(name: &str, number: u16) -> CatalogPort {
    port(name, number, Transport::Tcp)
}

fn service(exported_at: i64, ports: Vec<CatalogPort>) -> CatalogService {
    CatalogService {
        exported_at,
        headless: false,
        ports,
        endpoints: OrdMap::new(),
        session_affinity_seconds: None,
        internal_traffic_policy: None,
        traffic_distribution: None,
        labels: OrdMap::new(),
        annotations: OrdMap::new(),
        ip_families: Vec::new(),
    }
}

fn import_of(exports: Vec<(&str, CatalogService)>) -> Import {
    let name = Name::new("shop", "web");
    let members: Vec<_> = exports
        .into_iter()
        .map(|(cluster, service)| Member {
            cluster: cluster.into(),
            services: OrdMap::unit(name.clone(), Arc::new(service)),
        })
        .collect();
    merge(&members).services.remove(&name).unwrap()
}

fn reasons(import: &Import) -> Vec<ExportReason> {
    import.conflicts.iter().map(|conflict| conflict.reason).collect()
}

fn clusters_of(import: &Import, number: u16) -> Vec<&str> {
    let port = import.ports.iter().find(|known| known.port.number == number).unwrap();
    port.clusters.iter().map(|cluster| &**cluster).collect()
}

#[test]
fn agreeing_exports_merge_without_a_conflict() {
    let import = import_of(vec![
        ("west", service(2, vec![tcp("http", 80)])),
        ("east", service(1, vec![tcp("http", 80)])),
    ]);
    assert_eq!(import.conflicts, []);
    assert_eq!(clusters_of(&import, 80), ["east", "west"]);
    assert!(import.exported_by("west") && !import.exported_by("north"));
}

#[test]
fn the_oldest_export_decides_the_type() {
    let mut young = service(2, vec![tcp("http", 80)]);
    young.headless = true;
    let import = import_of(vec![("west", young), ("east", service(1, vec![tcp("http", 80)]))]);
    assert!(!import.headless);
    assert_eq!(reasons(&import), [ExportReason::TypeConflict]);
}

#[test]
fn of_equally_old_exports_the_clusters_name_decides() {
    let mut west = service(1, vec![tcp("http", 80)]);
    west.traffic_distribution = Some("PreferClose".into());
    let import = import_of(vec![("west", west), ("east", service(1, vec![tcp("http", 80)]))]);
    assert_eq!(import.traffic_distribution, None);
    assert_eq!(reasons(&import), [ExportReason::TrafficDistributionConflict]);
}

#[test]
fn every_contradicted_field_is_named() {
    let mut young = service(2, vec![tcp("http", 80)]);
    young.session_affinity_seconds = Some(60);
    young.internal_traffic_policy = Some("Local".into());
    young.labels = OrdMap::unit("team".into(), "shop".into());
    young.annotations = OrdMap::unit("note".into(), "x".into());
    let import = import_of(vec![("west", young), ("east", service(1, vec![tcp("http", 80)]))]);
    let expected = [
        ExportReason::SessionAffinityConflict,
        ExportReason::InternalTrafficPolicyConflict,
        ExportReason::LabelsConflict,
        ExportReason::AnnotationsConflict,
    ];
    assert_eq!(reasons(&import), expected);
    assert_eq!(import.session_affinity_seconds, None);
    assert!(import.labels.is_empty() && import.annotations.is_empty());
}

#[test]
fn affinity_timeouts_conflict_only_where_both_have_affinity() {
    let mut old = service(1, vec![tcp("http", 80)]);
    old.session_affinity_seconds = Some(10);
    let mut young = service(2, vec![tcp("http", 80)]);
    young.session_affinity_seconds = Some(60);
    let import = import_of(vec![("west", young), ("east", old)]);
    assert_eq!(reasons(&import), [ExportReason::SessionAffinityConfigConflict]);
    assert_eq!(import.session_affinity_seconds, Some(10));
}

#[test]
fn ports_are_a_union() {
    let import = import_of(vec![
        ("west", service(2, vec![tcp("grpc", 90)])),
        ("east", service(1, vec![tcp("http", 80)])),
    ]);
    assert_eq!(clusters_of(&import, 80), ["east"]);
    assert_eq!(clusters_of(&import, 90), ["west"]);
    assert_eq!(import.conflicts, []);
}

#[test]
fn a_port_of_the_same_name_and_another_number_gets_no_traffic() {
    let import = import_of(vec![
        ("west", service(2, vec![tcp("http", 8080)])),
        ("east", service(1, vec![tcp("http", 80)])),
    ]);
    assert_eq!(import.ports.len(), 1);
    assert_eq!(clusters_of(&import, 80), ["east"]);
    assert_eq!(reasons(&import), [ExportReason::PortConflict]);
    assert_eq!(
        import.conflicts[0].message,
        "cluster `west` exports port `http` 8080/TCP, an older export port `http` 80/TCP"
    );
}

#[test]
fn a_port_of_the_same_number_and_another_name_is_a_conflict() {
    let import = import_of(vec![
        ("west", service(2, vec![tcp("web", 80)])),
        ("east", service(1, vec![tcp("http", 80)])),
    ]);
    assert_eq!(&*import.ports[0].port.name, "http");
    assert_eq!(reasons(&import), [ExportReason::PortConflict]);
}

#[test]
fn the_same_number_over_udp_is_another_port_that_is_not_carried() {
    let import = import_of(vec![(
        "west",
        service(2, vec![tcp("dns-tcp", 53), port("dns", 53, Transport::Udp)]),
    )]);
    assert_eq!(import.ports.len(), 2);
    let uncarried: Vec<_> = import.uncarried().map(|port| &*port.name).collect();
    assert_eq!(uncarried, ["dns"]);
}

#[test]
fn what_nobody_exports_is_not_imported() {
    assert_eq!(
        merge(&[Member { cluster: "west".into(), services: OrdMap::new() }]),
        Imports::default()
    );
}
