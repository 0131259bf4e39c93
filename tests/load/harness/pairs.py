"""Starts pairs of gateways: plain in, mutual TLS between them, plain out."""
from . import spanway
from .machine import PROXY_CORE, until
from .proxies import ENDPOINTS, Proxy, World

# Of the far gateways; the near ones have the ports of single proxies.
FAR = {"spanway": 18300, "haproxy": 18350, "haproxy-tcp": 18355, "envoy-h1": 18360, "envoy-h2": 18365,
       "envoy-tcp": 18370}
NEAR = {"spanway": 18400, "haproxy": 18450, "haproxy-tcp": 18455, "envoy-h1": 18470, "envoy-h2": 18480,
        "envoy-tcp": 18485}
PORTS = [*range(18300, 18390), *range(18400, 18490)]


class PairWorld(World):
    """Pairs by name: `haproxy-tcp` copies at the far side, `envoy-h1` and `-h2` say what is between."""

    def start(self, name):
        kind = name.split("-")[0]
        near, far = getattr(self, f"start_{kind}")(name)
        pair = Proxy(name, [near, far], plain=NEAR[name] if kind != "spanway" else self.port)
        return self.rested(pair)

    def near_values(self, name):
        target = f"127.0.0.1:{FAR[name]}"
        address, port = target.split(":")
        return self.values(name.split("-")[0]) | {
            "endpoint": [{"index": 0, "endpoint": target, "address": address, "port": port}],
            "plain": NEAR[name], "tls": NEAR[name] + 1, "metrics": NEAR[name] + 2}

    def far_values(self, name):
        return self.values(name.split("-")[0]) | {"tls": FAR[name], "metrics": FAR[name] + 1}

    def client_tls(self):
        return (f"ssl crt {self.setup.certs}/client.both ca-file {self.setup.certs}/ca.pem verify required "
                "sni str(far.pair.example) ciphersuites TLS_AES_128_GCM_SHA256 alpn http/1.1")

    def start_haproxy(self, name):
        mode = "tcp" if name == "haproxy-tcp" else "http"
        far = self.configure("haproxy-far.cfg", self.far_values(name) | {
            "mode": mode, "http_only": "#" if mode == "tcp" else ""}, f"{name}-far.cfg")
        near = self.configure("haproxy.cfg", self.near_values(name) | self.haproxy_values(self.client_tls()),
                              f"{name}-near.cfg")
        return self.both(name, ["haproxy", "-db", "-f", None], near, far)

    def both(self, name, command, near, far):
        """Starts two of a kind; nothing in the command stands for the configuration."""
        processes = [self.processes.spawn(f"{name}-{side}", [part or config for part in command], PROXY_CORE)
                     for side, config in (("far", far), ("near", near))]
        self.listens(name, [NEAR[name], FAR[name]])
        return processes

    def start_envoy(self, name):
        far = self.configure("envoy-far.yaml", self.far_values(name), f"{name}-far.yaml")
        http2 = name == "envoy-h2"
        near = self.configure("envoy.yaml", self.near_values(name) | {
            "access_log": "[]",
            "upstream_protocol": "http2_protocol_options" if http2 else "http_protocol_options",
            "upstream_tls": self.upstream_tls("h2" if http2 else "http/1.1")}, f"{name}-near.yaml")
        return self.both(name, self.envoy_command(None), near, far)

    def upstream_tls(self, alpn, groups="X25519"):
        certs = self.setup.certs
        return ("transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"
                '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, '
                "sni: far.pair.example, common_tls_context: {"
                f"alpn_protocols: [{alpn or ''}], "
                "tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, "
                f"ecdh_curves: [{groups}]}}, tls_certificates: [{{certificate_chain: {{filename: {certs}/client.pem}}, "
                f"private_key: {{filename: {certs}/client.key}}}}], "
                f"validation_context: {{trusted_ca: {{filename: {certs}/ca.pem}}}}}}}}}}")

    def start_one(self, side, base):
        return spanway.start(self.processes, self.setup.spanway, self.work / side, side, base)

    def link_port(self, _other, base):
        """Where a cluster is reached."""
        return base

    def link_clusters(self, near, far):
        """Starts both clusters with these objects and links them."""
        bases = {"near": NEAR["spanway"], "far": FAR["spanway"]}
        folders = {side: self.work / side for side in bases}
        for side, objects in (("near", near), ("far", far)):
            files = {f"objects-{at // 100}.yaml": objects[at:at + 100] for at in range(0, len(objects), 100)}
            spanway.write(folders[side], files)
        processes = {side: self.start_one(side, base) for side, base in bases.items()}
        bundles = {side: folder / ".spanway" / "bundle.pem" for side, folder in folders.items()}
        until(lambda: all(path.exists() for path in bundles.values()), "both clusters have an authority")
        for side, other in (("near", "far"), ("far", "near")):
            link = spanway.link(other, self.link_port(other, bases[other]), bundles[other].read_text())
            spanway.write(folders[side], {"link.yaml": [link]})
        self.listens("spanway", [base + 1 for base in bases.values()])
        return processes["near"], processes["far"]

    def start_spanway(self, _name):
        routes = [spanway.route(one["route"], one["host"], "web", imported=True) for one in self.routes()]
        near, far = self.link_clusters(
            near=[spanway.CLASS, spanway.gateway(self.setup.certs), *routes],
            far=[spanway.service("web"), spanway.export("web"), spanway.slices("web", ENDPOINTS)])
        self.port = spanway.port(NEAR["spanway"], "bench/web", 80)
        until(lambda: spanway.reaches(self.port, self.routes()[0]["host"]), "the near gateway reaches the far one")
        return near, far
