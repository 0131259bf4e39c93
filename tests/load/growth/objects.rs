//! The objects, as an operator would write them.

use std::fs;
use std::path::{Path, PathBuf};

use super::Size;

/// Where the port record lies.
pub(crate) const NAMESPACE: &str = "spanway-system";
/// The container port of the Gateway.
pub(crate) const PORT: u16 = 20_080;

/// How many Services stand in a file.
const OBJECTS_MAX: usize = 1000;

/// Writes a class, a Gateway with its container port, and the Services.
pub(crate) fn write_base(folder: &Path, services: usize) -> anyhow::Result<()> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: spanway}}
spec: {{controllerName: spanway.dev/gateway-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: bench, uid: web}}
spec:
  gatewayClassName: spanway
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: ports, namespace: {NAMESPACE}, labels: {{spanway.dev/port-record: 'true'}}}}
data:
  '{PORT}': '{{\"uid\":\"web\",\"port\":80,\"transport\":\"TCP\",\"name\":\"bench/web\"}}'
"
    );
    fs::write(folder.join("base.yaml"), text)?;
    for first in (0..services).step_by(OBJECTS_MAX) {
        let numbers = first..(first + OBJECTS_MAX).min(services);
        let text: String = numbers.map(service).collect();
        fs::write(folder.join(format!("services-{first}.yaml")), text)?;
    }
    Ok(())
}

fn service(number: usize) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: s{number}, namespace: bench}}
spec: {{ports: [{{name: main, port: 80, appProtocol: http}}]}}
"
    )
}

/// The host of a route.
pub(crate) fn host(number: usize) -> String {
    format!("h{number}.example.com")
}

fn route(number: usize, backend: usize, path: &str) -> String {
    format!(
        "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{number}, namespace: bench}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: [{}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    backendRefs: [{{name: s{backend}, port: 80}}]
",
        host(number)
    )
}

/// The file with the routes of a part; `changed` leads to another path.
pub(crate) fn write_routes(
    folder: &Path,
    size: Size,
    part: usize,
    changed: Option<(usize, usize)>,
) -> anyhow::Result<PathBuf> {
    let each = size.routes.div_ceil(size.files);
    let mut text = String::new();
    for number in (part * each)..((part + 1) * each).min(size.routes) {
        let path = match changed {
            Some((route, round)) if route == number => format!("/v{round}"),
            _ => "/".to_owned(),
        };
        text.push_str(&route(number, number % size.services, &path));
    }
    let path = folder.join(format!("routes-{part:03}.yaml"));
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, &path)?;
    Ok(path)
}

/// The slice of a Service as JSON; `round` is in the address of its first endpoint.
pub(crate) fn slice(size: Size, service: usize, round: usize) -> serde_json::Value {
    let each = size.endpoints / size.services;
    let endpoints = (0..each).map(|at| {
        let number = service * each + at;
        let third = if at == 0 { round % 256 } else { 0 };
        let address =
            format!("10.{}.{}.{}", number / 65_536 + third, number / 256 % 256, number % 256);
        serde_json::json!({"addresses": [address], "conditions": {"ready": true}})
    });
    serde_json::json!({
        "metadata": {
            "name": format!("s{service}-1"), "namespace": "bench",
            "resourceVersion": (round + 1).to_string(),
            "labels": {"kubernetes.io/service-name": format!("s{service}")},
        },
        "addressType": "IPv4",
        "ports": [{"name": "main", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// The texts of all files of a folder.
pub(crate) fn texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(fs::read_to_string(entry?.path())?)).collect()
}
