"""Our objects, as a user would write them, and how the binary is started on them."""
import json
import os
import urllib.error
import urllib.request

from .machine import LOAD_CORE, NOBODY, PROXY_CORE, until

CLASS = """apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: spanway}
spec: {controllerName: spanway.dev/gateway-controller}
"""


def indent(text, spaces):
    return "".join(f"{' ' * spaces}{line}\n" for line in text.strip().splitlines())


def gateway(certs):
    """One Gateway: plain on port 80, and mutual TLS on port 443."""
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: web, namespace: bench}}
spec:
  gatewayClassName: spanway
  listeners:
  - {{name: http, port: 80, protocol: HTTP}}
  - {{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: [{{name: server}}]}}}}
  tls: {{frontend: {{default: {{validation: {{caCertificateRefs: [{{group: "", kind: ConfigMap, name: clients}}]}}}}}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: server, namespace: bench}}
type: kubernetes.io/tls
stringData:
  tls.crt: |
{indent((certs / "server.pem").read_text(), 4)}  tls.key: |
{indent((certs / "server.key").read_text(), 4)}---
apiVersion: v1
kind: ConfigMap
metadata: {{name: clients, namespace: bench}}
data:
  ca.crt: |
{indent((certs / "ca.pem").read_text(), 4)}"""


def service(name, protocol="http"):
    return f"""apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec: {{ports: [{{name: main, port: 80, appProtocol: {protocol}}}]}}
"""


def slices(name, endpoints):
    """One slice: all endpoints share a port, as pods of a Deployment do."""
    (port,) = {port for _, port in endpoints}
    listed = "".join(f'- {{addresses: ["{address}"], conditions: {{ready: true}}}}\n' for address, port in endpoints)
    return f"""apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: bench, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: main, port: {port}, protocol: TCP}}]
endpoints:
{listed}"""


# A Gateway that passes TLS through.
PASSTHROUGH = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: bench}
spec:
  gatewayClassName: spanway
  listeners:
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
"""


def tls_route(name, host, backend):
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: {name}, namespace: bench}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: ["{host}"]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
"""


def export(name):
    return f"""apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {{name: {name}, namespace: bench}}
"""


def link(name, port, bundle):
    return f"""apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: {{name: {name}}}
spec:
  addresses: ["127.0.0.1:{port}"]
  trustDomain: {name}.example
  bundle: |
{indent(bundle, 4)}  import: {{rules: [{{name: "{{service}}"}}]}}
"""


def service_of(name, numbers):
    """A service with many TCP ports."""
    ports = "".join(f"  - {{name: p{number}, port: {number}, appProtocol: tcp}}\n" for number in numbers)
    return f"""apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec:
  ports:
{ports}"""


def slices_of(name, numbers, address, port):
    """All of its ports lead to one endpoint."""
    ports = "".join(f"- {{name: p{number}, port: {port}, protocol: TCP}}\n" for number in numbers)
    return f"""apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: bench, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports:
{ports}endpoints: [{{addresses: ["{address}"], conditions: {{ready: true}}}}]
"""


def route(name, host, backend, imported=False):
    """The same fields set and removed as in the peers' configurations."""
    kind = "group: multicluster.x-k8s.io, kind: ServiceImport, " if imported else ""
    return f"""apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: bench}}
spec:
  parentRefs: [{{name: web}}]
  hostnames: ["{host}"]
  rules:
  - filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{set: [{{name: x-bench-route, value: "{name}"}}], remove: [x-bench-remove]}}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-bench-served, value: "yes"}}], remove: [x-bench-secret]}}
    backendRefs: [{{{kind}name: {backend}, port: 80}}]
"""


def write(folder, files):
    """Writes files whole at once, readable for whom the gateway runs as."""
    if not folder.exists():
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
    for name, texts in files.items():
        new = folder / f".{name}.new"
        new.write_text("---\n".join(texts))
        os.replace(new, folder / name)


def start(processes, binary, folder, name, base, core=PROXY_CORE, log=False, workers=1, stdout=None, prefix=(),
          ports=None, role="all", controller=None):
    """Starts a gateway, with its controller unless the role is another. It has the ports `base` to `base + 49`, or
    more; a controller apart those from `controller` on."""
    first, last = ports or (base + 10, base + 49)
    command = [
        *prefix, binary, "run", "--role", role, "--dir", folder, "--cluster", name, "--trust-domain", f"{name}.example",
        "--listen", "127.0.0.1", "--link-port", base, "--admin", f"127.0.0.1:{base + 1}",
        "--control-listen", f"127.0.0.1:{base + 2}", "--control-advertise", f"127.0.0.1:{base + 2}",
        "--health", f"127.0.0.1:{base + 3}", "--pod-uid", name, "--pod-ips", "127.0.0.1",
        "--ports", f"{first}-{last}", "--workers", workers,
        # The chart's; nobody waits for the end of a run.
        "--leave", "10s", "--settle", "3s", "--drain", "20s", "--certificate-life", "24h"]
    if controller:
        command += ["--control-addresses", f"127.0.0.1:{controller + 2}"]
    return processes.spawn(name, command + (["--access-log"] if log else []), core, stdout=stdout)


def start_apart(processes, binary, folder, name, base, controller, ports=None, **options):
    """Starts a gateway and, on the load's core, its controller, as the chart does; gives the gateway."""
    ports = ports or (base + 10, base + 49)
    start(processes, binary, folder, name, controller, core=LOAD_CORE, ports=ports, role="controller")
    return start(processes, binary, folder, name, base, ports=ports, role="gateway", controller=controller, **options)


def ask(base, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{base + 1}{path}", timeout=30) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""


def reaches(port, host):
    """Whether a request is answered."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/r/0000000000", headers={
        "host": host, "x-bench-keep": "yes", "x-bench-remove": "secret"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def port(base, owner, number):
    """The container port of `namespace/name` for its port."""
    def look():
        table = json.loads(ask(base, "/api/v1/table") or "{}")
        found = [entry["container_port"] for entry in table.get("ports", [])
                 if entry["owner"] == owner and entry["port"] == number]
        return found[0] if found else None
    return until(look, f"{owner} has a port for {number}")
