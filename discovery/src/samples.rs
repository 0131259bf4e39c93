//! Small objects for the tests of this crate.

use std::sync::Arc;

use config::api::{ClusterLink, ServiceExport};
use config::model::Name;
use config::resources::{ServiceSlices, Slices};
use imbl::OrdMap;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::catalog::client::LinkState;
use crate::catalog::{
    Catalog, CatalogEndpoint, CatalogPort, CatalogService, Exports, Offer, Transport,
};
use crate::endpoint::EndpointId;
use crate::link::{Link, Own, links};

/// What stands for a bundle; nobody reads it here.
pub(crate) const BUNDLE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";

pub(crate) fn web() -> Name {
    Name::new("shop", "web")
}

pub(crate) fn service(extra: &Value) -> Service {
    let mut service = json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "service-uid"},
        "spec": {"ports": [{"name": "http", "port": 80, "appProtocol": "http"}]},
    });
    merge(&mut service, extra);
    serde_json::from_value(service).unwrap()
}

pub(crate) fn service_export(extra: &Value) -> ServiceExport {
    let mut export = json!({
        "apiVersion": "multicluster.x-k8s.io/v1beta1",
        "kind": "ServiceExport",
        "metadata": {"namespace": "shop", "name": "web", "generation": 3,
            "creationTimestamp": "1970-01-01T00:01:40Z"},
        "spec": {},
    });
    merge(&mut export, extra);
    serde_json::from_value(export).unwrap()
}

/// A pod `name` at `ip`, with conditions such as `ready`, `terminating`, `serving`.
pub(crate) fn pod(name: &str, ip: &str, conditions: &Value) -> Value {
    json!({
        "addresses": [ip],
        "conditions": conditions,
        "zone": "z1",
        "targetRef": {"kind": "Pod", "name": name, "uid": format!("uid-of-{name}")},
    })
}

pub(crate) fn ready(name: &str, ip: &str) -> Value {
    pod(name, ip, &json!({"ready": true}))
}

pub(crate) fn leaving(name: &str, ip: &str) -> Value {
    pod(name, ip, &json!({"ready": false, "serving": true, "terminating": true}))
}

pub(crate) fn slice(endpoints: &[Value], extra: &Value) -> EndpointSlice {
    let mut slice = json!({
        "metadata": {"namespace": "shop", "name": "web-1"},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints,
    });
    merge(&mut slice, extra);
    serde_json::from_value(slice).unwrap()
}

pub(crate) fn slices(endpoints: &[Value]) -> ServiceSlices {
    OrdMap::unit("web-1".into(), Arc::new(slice(endpoints, &json!({}))))
}

/// The slices of `shop/web`.
pub(crate) fn all_slices(endpoints: &[Value]) -> Slices {
    let mut all = Slices::default();
    all.by_service.insert(web(), slices(endpoints));
    all
}

/// The export of `shop/web` with these endpoints.
pub(crate) fn exports(endpoints: &[Value]) -> Exports {
    let mut exports = Exports::default();
    let none = json!({});
    let slices = slices(endpoints);
    exports.update(&web(), Some(&service_export(&none)), Some(&service(&none)), Some(&slices));
    exports
}

/// A catalog service with these endpoints on port `http` 80.
pub(crate) fn catalog_service(ids: &[&str]) -> CatalogService {
    let endpoint = CatalogEndpoint { zone: Some("z1".into()), ports: None };
    CatalogService {
        exported_at: 100,
        headless: false,
        ports: vec![CatalogPort {
            name: "http".into(),
            number: 80,
            transport: Transport::Tcp,
            protocol: config::model::AppProtocol::Http1,
            app_protocol: Some("http".into()),
        }],
        endpoints: ids
            .iter()
            .map(|id| (EndpointId((*id).into()), Arc::new(endpoint.clone())))
            .collect(),
        session_affinity_seconds: None,
        internal_traffic_policy: Some("Cluster".into()),
        traffic_distribution: None,
        labels: OrdMap::unit("tier".into(), "front".into()),
        annotations: OrdMap::new(),
        ip_families: vec!["IPv4".into()],
    }
}

/// A catalog at `version` of services in `shop`, each with its endpoints.
pub(crate) fn catalog(version: u64, services: &[(&str, &[&str])]) -> Catalog {
    let service =
        |(name, ids): &(&str, &[&str])| (Name::new("shop", name), Arc::new(catalog_service(ids)));
    Catalog {
        services: services.iter().map(service).collect(),
        version: OrdMap::unit("Service".into(), version),
        ..Catalog::default()
    }
}

pub(crate) fn offer(catalog: Catalog) -> Arc<Offer> {
    Arc::new(Offer { catalog, ..Offer::default() })
}

pub(crate) fn cluster_link(name: &str, extra: &Value) -> (Name, Arc<ClusterLink>) {
    let mut link = json!({
        "apiVersion": "spanway.dev/v1alpha1",
        "kind": "ClusterLink",
        "metadata": {"name": name, "generation": 7},
        "spec": {
            "addresses": ["192.0.2.1"],
            "trustDomain": format!("{name}.example"),
            "bundle": BUNDLE,
        },
    });
    merge(&mut link, extra);
    (Name::new("", name), Arc::new(serde_json::from_value(link).unwrap()))
}

pub(crate) fn link(name: &str, extra: &Value) -> Link {
    let own = Own { cluster: "own", trust_domain: &"own.example".parse().unwrap() };
    let objects = OrdMap::from_iter([cluster_link(name, extra)]);
    let (mut links, rejections) = links(&objects, own, &|_: &_| None);
    assert_eq!(rejections, []);
    links.remove(0)
}

/// What is known of a link whose catalog this is.
pub(crate) fn link_state(catalog: Catalog) -> LinkState {
    LinkState {
        catalog: Arc::new(catalog),
        received: true,
        freshness: crate::freshness::Freshness::Fresh,
        connected: true,
        addresses: [([192, 0, 2, 1], 15443).into()].into(),
        ..LinkState::default()
    }
}

/// Puts `extra` over `base`, object by object; null removes.
fn merge(base: &mut Value, extra: &Value) {
    match (base, extra) {
        (Value::Object(base), Value::Object(extra)) => {
            for (key, value) in extra {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, extra) => *base = extra.clone(),
    }
}
