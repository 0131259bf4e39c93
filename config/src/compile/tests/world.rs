//! A world of YAML objects, compiled.

use k8s_openapi::ByteString;
use kube::core::DynamicObject;

use super::super::*;
use crate::model::Kind;
use crate::table::{PortServes, Request, SniAction, Target};
use crate::verdict::Condition;

/// A class, a Gateway `gw` in `infra` on port 80 (container port 20080), a Service `web` in
/// `shop`, and the namespaces.
pub(super) const BASE: &str = "
{kind: GatewayClass, metadata: {name: spanway, generation: 1}, spec: {controllerName: spanway.dev/gateway-controller}}
---
{kind: Namespace, metadata: {name: shop, labels: {team: shop}}}
---
{kind: Service, metadata: {name: web, namespace: shop}, spec: {ports: [{port: 80}, {port: 53, protocol: UDP}, {port: 443, appProtocol: https}]}}
---
{kind: ConfigMap, metadata: {name: ports, namespace: spanway, labels: {spanway.dev/port-record: 'true'}}, data: {
  '20080': '{\"uid\":\"gw-uid\",\"port\":80,\"transport\":\"TCP\",\"name\":\"infra/gw\"}',
  '20443': '{\"uid\":\"gw-uid\",\"port\":443,\"transport\":\"TCP\",\"name\":\"infra/gw\"}',
  '20081': '{\"uid\":\"other-uid\",\"port\":80,\"transport\":\"TCP\",\"name\":\"infra/other\"}',
  '20500': '{\"uid\":\"derived-uid\",\"port\":80,\"transport\":\"TCP\",\"name\":\"shop/d\"}',
  '20501': '{\"uid\":\"mirror-uid\",\"port\":80,\"transport\":\"TCP\",\"name\":\"shop/web-west\"}'}}
";

pub(super) const HTTP: &str =
    "{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}";

/// A Gateway `gw` in `infra` with these listeners.
pub(super) fn gateway(listeners: &str) -> String {
    format!(
        "{{kind: Gateway, metadata: {{name: gw, namespace: infra, uid: gw-uid, generation: 3}}, \
         spec: {{gatewayClassName: spanway, listeners: [{listeners}]}}}}"
    )
}

/// An `HTTPRoute` in `shop` with `infra/gw` as its parent.
pub(super) fn route(name: &str, spec: &str) -> String {
    format!(
        "{{kind: HTTPRoute, metadata: {{name: {name}, namespace: shop, generation: 5}}, \
         spec: {{parentRefs: [{{name: gw, namespace: infra}}], {spec}}}}}"
    )
}

/// A Secret `cert` in `infra` with a certificate that is well-formed.
pub(super) fn secret(key: &str) -> DynamicObject {
    secret_of(include_bytes!("certificate.pem"), key)
}

/// A Secret `cert` in `infra`.
pub(super) fn secret_of(chain: &[u8], key: &str) -> DynamicObject {
    let chain = ByteString(chain.to_vec());
    let key = ByteString(key.as_bytes().to_vec());
    serde_json::from_value(serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "cert", "namespace": "infra" },
        "data": { "tls.crt": chain, "tls.key": key },
    }))
    .unwrap()
}

/// Well-formed, and of no use to anybody: what a key is good for, the gateway checks.
pub(super) const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

pub(super) struct World {
    pub(super) compiled: Compiled,
}

/// Compiles `BASE` and `objects`.
pub(super) fn world(objects: &[&str]) -> World {
    world_with(objects, vec![])
}

pub(super) fn world_with(objects: &[&str], more: Vec<DynamicObject>) -> World {
    let mut resources = Resources::default();
    let texts = BASE.split("---").chain(objects.iter().copied());
    let read = texts.map(|text| {
        let mut value: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        value["apiVersion"] = "v1".into();
        serde_json::from_value::<DynamicObject>(value).unwrap()
    });
    for object in read.chain(more) {
        let label = object.types.as_ref().unwrap().kind.clone();
        let kind = Kind::ALL.into_iter().find(|kind| kind.label() == label).unwrap();
        resources.apply(kind, object);
    }
    let broken = resources.http_routes.broken.iter().chain(resources.gateways.broken.iter());
    assert_eq!(broken.count(), 0, "a test object is broken");
    let compiled = compile(&resources, &Context::new("spanway"));
    World { compiled }
}

pub(super) struct Get<'a>(pub(super) &'a str, pub(super) &'a str);

impl Request for Get<'_> {
    fn method(&self) -> &'static str {
        "GET"
    }
    fn path(&self) -> &[u8] {
        self.1.as_bytes()
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn host(&self) -> &[u8] {
        self.0.as_bytes()
    }
    fn header<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        std::iter::empty()
    }
}

impl World {
    /// Who answers a GET on a container port, as `weight target` per backend.
    pub(super) fn get(&self, port: u16, host: &str, path: &str) -> String {
        let Some(port) = self.compiled.table.port(port) else {
            return "closed".to_owned();
        };
        let hosts = match &port.serves {
            PortServes::Http(hosts) => Arc::clone(hosts),
            PortServes::Mirrored(mirrored) => match &mirrored.routes {
                Some(hosts) => Arc::clone(hosts),
                None => return mirrored.backend.to_string(),
            },
            PortServes::Tls(table) => match table.actions.find(host.as_bytes()).map(|one| &**one) {
                Some(SniAction::Terminate(tls)) => Arc::clone(&tls.hosts),
                Some(SniAction::Passthrough(rule)) => return backends(&rule.backends),
                None => return "closed".to_owned(),
            },
        };
        hosts
            .find(&Get(host, path))
            .map_or_else(|| "404".to_owned(), |rule| backends(&rule.backends))
    }

    /// `status/reason` of a condition of a listener.
    pub(super) fn listener(&self, name: &str, condition: &str) -> String {
        let verdict = &self.compiled.verdicts.gateways[&Name::new("infra", "gw")];
        let listener = verdict.listeners.iter().find(|one| one.name == name).unwrap();
        said(&listener.conditions, condition)
    }

    pub(super) fn attached(&self, name: &str) -> usize {
        let verdict = &self.compiled.verdicts.gateways[&Name::new("infra", "gw")];
        verdict.listeners.iter().find(|one| one.name == name).unwrap().attached_routes
    }

    /// `status/reason` of a condition of the Gateway.
    pub(super) fn gateway(&self, condition: &str) -> String {
        said(&self.compiled.verdicts.gateways[&Name::new("infra", "gw")].conditions, condition)
    }

    /// `status/reason` of a condition of a route with its first parent.
    pub(super) fn route(&self, name: &str, condition: &str) -> String {
        let routes = &self.compiled.verdicts.routes;
        let found = routes.iter().find(|(object, _)| &*object.name.name == name);
        let (_, verdict) = found.expect("no such route");
        verdict
            .parents
            .first()
            .map_or_else(|| "no parent".to_owned(), |parent| said(&parent.conditions, condition))
    }
}

fn said(conditions: &[Condition], wanted: &str) -> String {
    let found = conditions.iter().find(|one| one.type_ == wanted);
    found.map_or_else(|| "absent".to_owned(), |one| format!("{}/{}", one.holds, one.reason))
}

fn backends(backends: &[crate::table::Backend]) -> String {
    let all: Vec<_> = backends
        .iter()
        .map(|one| match &one.target {
            Target::Endpoints(key) => format!("{} {key}", one.weight),
            Target::Invalid(_) => format!("{} invalid", one.weight),
        })
        .collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}
