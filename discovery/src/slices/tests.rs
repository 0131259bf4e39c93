//! When a gateway enters the slices, and when it leaves them.

use config::api::pod::PodStatus;
use serde_json::json;

use super::*;

const PORT: u16 = 20_000;

fn owner() -> PortOwner {
    PortOwner { uid: "svc".into(), port: 80 }
}

fn report(serving: bool, bound: bool) -> GatewayReport {
    GatewayReport {
        instance: "gw".into(),
        pod: Name::new("spanway-system", "gw-0"),
        addresses: vec!["10.0.0.9".parse().unwrap()],
        serving,
        draining: false,
        table_version: 1,
        bound: bound.then(|| (PORT, owner())).into_iter().collect(),
        bind_failures: Vec::new(),
        strangers: Vec::new(),
        links: Vec::new(),
    }
}

fn pod(ready: &str, turned: &str) -> Pod {
    let status: PodStatus = serde_json::from_value(json!({
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": turned}],
        "containerStatuses": [{
            "name": "gateway", "image": "x", "imageID": "x", "ready": ready == "True",
            "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}},
        }],
    }))
    .unwrap();
    let mut pod = Pod { status: Some(status), ..Pod::default() };
    pod.metadata.uid = Some("gw".into());
    pod
}

/// Before its container started: it was never Ready.
const BEFORE: &str = "2026-01-01T00:00:05Z";
/// After its container started.
const AFTER: &str = "2026-01-01T00:00:30Z";

fn pods(pod: Pod) -> OrdMap<Name, Arc<Pod>> {
    OrdMap::unit(Name::new("spanway-system", "gw-0"), Arc::new(pod))
}

fn slices_with_gateway() -> Slices {
    let slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "web-1", "labels": {
            "spanway.dev/managed-by": "spanway",
            "endpointslice.kubernetes.io/managed-by": "spanway.dev",
        }},
        "addressType": "IPv4",
        "ports": [{"port": PORT}],
        "endpoints": [{
            "addresses": ["10.0.0.1"],
            "targetRef": {"kind": "Pod", "namespace": "spanway-system", "name": "gw-0", "uid": "gw"},
        }],
    }))
    .unwrap();
    let mut slices = Slices::default();
    let by_name = OrdMap::unit(Arc::from("web-1"), Arc::new(slice));
    slices.by_service.insert(Name::new("shop", "web"), by_name);
    slices
}

/// Whether the gateway is named in the next slices.
fn named(
    pods: Option<&OrdMap<Name, Arc<Pod>>>,
    report: Option<GatewayReport>,
    slices: &Slices,
) -> bool {
    named_by(pods, report, slices, &WereReady::default())
}

fn named_by(
    pods: Option<&OrdMap<Name, Arc<Pod>>>,
    report: Option<GatewayReport>,
    slices: &Slices,
    were_ready: &WereReady,
) -> bool {
    let reports: Reports =
        report.into_iter().map(|report| ("gw".into(), Arc::new(report))).collect();
    let stands = standing(slices).services().next().is_some();
    let gateways = gateways(pods, &reports, slices, were_ready);
    gateways.iter().any(|gateway| gateway.takes(&reports, &owner(), PORT, stands))
}

#[test]
fn a_gateway_comes_in_once_it_serves_and_has_the_port_bound() {
    let pods = pods(pod("False", BEFORE));
    let none = Slices::default();
    assert!(named(Some(&pods), Some(report(true, true)), &none));
    assert!(!named(Some(&pods), Some(report(true, false)), &none));
    assert!(!named(Some(&pods), Some(report(false, true)), &none));
    assert!(!named(Some(&pods), None, &none));
}

#[test]
fn a_port_bound_for_another_owner_does_not_count() {
    let mut other = report(true, true);
    other.bound = [(PORT, PortOwner { port: 81, ..owner() })].into_iter().collect();
    assert!(!named(None, Some(other), &Slices::default()));
}

#[test]
fn a_missing_report_removes_nothing() {
    let pods = pods(pod("True", AFTER));
    assert!(named(Some(&pods), None, &slices_with_gateway()));
    assert!(named(None, None, &slices_with_gateway()));
}

#[test]
fn a_draining_gateway_leaves() {
    let mut draining = report(true, true);
    draining.draining = true;
    let pods = pods(pod("True", AFTER));
    assert!(!named(Some(&pods), Some(draining), &slices_with_gateway()));
}

#[test]
fn a_terminating_pod_leaves() {
    let mut terminating = pod("True", AFTER);
    let now = "2026-01-01T00:01:00Z";
    terminating.metadata.deletion_timestamp = serde_json::from_value(json!(now)).unwrap();
    assert!(!named(Some(&pods(terminating)), Some(report(true, true)), &slices_with_gateway()));
}

#[test]
fn a_pod_that_is_gone_leaves() {
    assert!(!named(Some(&OrdMap::new()), Some(report(true, true)), &slices_with_gateway()));
}

#[test]
fn a_pod_that_ended_leaves() {
    let mut ended = pod("False", BEFORE);
    ended.status.as_mut().unwrap().phase = Some("Failed".into());
    assert!(!named(Some(&pods(ended)), Some(report(true, true)), &slices_with_gateway()));
}

#[test]
fn a_pod_that_was_ready_and_is_not_any_more_leaves() {
    let were_ready = WereReady::default().note(&pods(pod("True", BEFORE)));
    let pods = pods(pod("False", BEFORE));
    let were_ready = were_ready.note(&pods);
    let slices = slices_with_gateway();
    assert!(!named_by(Some(&pods), Some(report(true, true)), &slices, &were_ready));
}

#[test]
fn a_new_leader_reads_off_the_pod_that_it_was_ready() {
    let slices = slices_with_gateway();
    assert!(!named(Some(&pods(pod("False", AFTER))), Some(report(true, true)), &slices));
    assert!(named(Some(&pods(pod("False", BEFORE))), Some(report(true, true)), &slices));
}

#[test]
fn a_gateway_that_stands_and_reports_its_port_not_bound_leaves() {
    let pods = pods(pod("True", AFTER));
    assert!(!named(Some(&pods), Some(report(true, false)), &slices_with_gateway()));
    assert!(named(Some(&pods), Some(report(false, true)), &slices_with_gateway()));
}

#[test]
fn a_pods_own_addresses_outrank_the_reported() {
    let pods = pods(pod("True", AFTER));
    let reports: Reports = [("gw".into(), Arc::new(report(true, true)))].into();
    let gateways = gateways(Some(&pods), &reports, &Slices::default(), &WereReady::default());
    let address = |family| gateways[0].seat(family).unwrap().address.to_string();
    assert_eq!((address(Family::V4), address(Family::V6)), ("10.0.0.1".into(), "fd00::1".into()));
}

fn word(report: GatewayReport, wanted: &Seating, standing: &Seating) -> LeaderWord {
    words(&[("gw".into(), Arc::new(report))].into(), wanted, standing)["gw"]
}

fn seat() -> Seating {
    [(Name::new("shop", "web"), PORT, "gw".into())].into_iter().collect()
}

#[test]
fn a_gateway_is_confirmed_once_it_stands_in_every_slice() {
    let none = Seating::default();
    assert!(word(report(true, true), &seat(), &seat()).in_slices);
    assert!(!word(report(true, true), &seat(), &none).in_slices);
}

#[test]
fn a_gateway_that_no_slice_should_name_is_confirmed_at_once() {
    assert!(word(report(true, true), &Seating::default(), &Seating::default()).in_slices);
}

#[test]
fn a_removal_is_confirmed_once_no_slice_names_it() {
    let mut draining = report(true, true);
    draining.draining = true;
    let none = Seating::default();
    assert!(!word(draining.clone(), &none, &seat()).removed);
    assert!(word(draining, &none, &none).removed);
    assert!(!word(report(true, true), &none, &none).removed);
}
