//! A directory to ask about: a Gateway, two routes, two Services.

use tempfile::TempDir;

/// The objects, in files of their own.
const FILES: [(&str, &str); 3] = [
    (
        "gateway.yaml",
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: spanway }
spec: { controllerName: spanway.dev/gateway-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge, namespace: shop }
spec:
  gatewayClassName: spanway
  listeners:
    - { name: http, protocol: HTTP, port: 8080 }
",
    ),
    (
        "routes.yaml",
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: cart, namespace: shop }
spec:
  parentRefs: [{ name: edge }]
  hostnames: [shop.example.com]
  rules:
    - matches: [{ path: { type: PathPrefix, value: /cart }, headers: [{ name: x-beta, value: 'yes' }] }]
      backendRefs: [{ name: cart-next, port: 80 }]
    - matches: [{ path: { type: PathPrefix, value: /cart } }]
      backendRefs:
        - { name: cart, port: 80, weight: 90 }
        - { name: cart-next, port: 80, weight: 10 }
",
    ),
    (
        "services.yaml",
        "apiVersion: v1
kind: Service
metadata: { name: cart, namespace: shop }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: cart-next, namespace: shop }
spec: { ports: [{ name: http, port: 80 }] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: cart-1, namespace: shop, labels: { kubernetes.io/service-name: cart } }
addressType: IPv4
ports: [{ name: http, port: 9090, protocol: TCP }]
endpoints: [{ addresses: [10.1.2.3], conditions: { ready: true } }]
",
    ),
];

/// The directory, without fault, as somebody writes it who has never run anything.
pub(super) fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// Adds a file.
pub(super) fn add(directory: &TempDir, name: &str, text: &str) {
    std::fs::write(directory.path().join(name), text).unwrap();
}
