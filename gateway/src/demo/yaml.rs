//! The objects of the simulated clusters, as a user would write them.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::service::Speaks;

/// The namespace of the sample services.
pub(super) const NAMESPACE: &str = "shop";

/// A class and a Gateway that takes plain HTTP on port 80.
pub(super) fn gateway() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata:
  name: spanway
spec:
  controllerName: spanway.dev/gateway-controller
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: web
  namespace: {NAMESPACE}
spec:
  gatewayClassName: spanway
  listeners:
    - name: http
      port: 80
      protocol: HTTP
"
    )
}

/// A Service and its export.
pub(super) fn service(name: &str, speaks: Speaks) -> String {
    let protocol = speaks.app_protocol();
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: {NAMESPACE}
spec:
  ports:
    - name: main
      port: 80
      appProtocol: {protocol}
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata:
  name: {name}
  namespace: {NAMESPACE}
spec:
  exportedLabels:
    app: {name}
"
    )
}

/// The slices of a Service: one for each endpoint, because each instance has a port of its own.
pub(super) fn slices(service: &str, endpoints: &[SocketAddr]) -> String {
    let mut text = String::new();
    for address in endpoints {
        let (ip, port) = (address.ip(), address.port());
        let written = write!(
            text,
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {service}-{port}
  namespace: {NAMESPACE}
  labels:
    kubernetes.io/service-name: {service}
addressType: IPv4
ports:
  - name: main
    port: {port}
    protocol: TCP
endpoints:
  - addresses: [\"{ip}\"]
    conditions:
      ready: true
"
        );
        debug_assert!(written.is_ok(), "writing to a String");
    }
    text
}

/// The link to another cluster. Its `cart` also has a name here; everything else of it is called
/// as at home.
pub(super) fn link(cluster: &str, address: SocketAddr, trust_domain: &str, bundle: &str) -> String {
    let bundle = bundle.lines().fold(String::new(), |text, line| text + "    " + line + "\n");
    format!(
        "apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata:
  name: {cluster}
spec:
  addresses: [\"{address}\"]
  trustDomain: {trust_domain}
  bundle: |
{bundle}  import:
    rules:
      - selector:
          matchLabels:
            app: cart
        name: \"{{service}}-{{cluster}}\"
      - name: \"{{service}}\"
"
    )
}

/// The route that changes: `cart` here and in the other cluster, by weight. Each version says
/// which it is.
pub(super) fn cart_route(version: u64, here: u32, there: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: cart
  namespace: {NAMESPACE}
spec:
  parentRefs:
    - name: web
  rules:
    - matches:
        - path:
            type: PathPrefix
            value: /cart
      filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set:
              - name: x-rule-version
                value: \"{version}\"
      backendRefs:
        - name: cart
          port: 80
          weight: {here}
        - name: cart-west
          port: 80
          weight: {there}
"
    )
}

/// A route that does not change: everything else goes to what only the other cluster has.
pub(super) fn catalog_route() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: catalog
  namespace: {NAMESPACE}
spec:
  parentRefs:
    - name: web
  rules:
    - backendRefs:
        - group: multicluster.x-k8s.io
          kind: ServiceImport
          name: catalog
          port: 80
"
    )
}
