"""Proxies that carry bytes: TLS passed through by its name, and TCP from cluster to cluster."""
from . import spanway
from .machine import until
from .pairs import FAR, NEAR, PairWorld
from .proxies import BASES, ENDPOINTS, Proxy, World

# haproxy with splice forced; `haproxy` is the one without.
SPLICE = {"haproxy-splice": "option splice-request\n  option splice-response"}
# The service that a mirrored port leads to.
SERVICE = "db"


class SniWorld(World):
    """TLS passed through by the name that is asked for, over 1,000 names."""

    def start(self, name):
        return self.rested(getattr(self, f"start_{name.split('-')[0]}")(name))

    def start_haproxy(self, name):
        base = BASES["haproxy"] + (5 if name in SPLICE else 0)
        self.haproxy_values("")
        values = self.values("haproxy") | {"tls": base + 1, "metrics": base + 2, "splice": SPLICE.get(name, "")}
        config = self.configure("haproxy-sni.cfg", values, f"{name}.cfg")
        process = self.spawn(name, ["haproxy", "-db", "-f", config])
        self.listens(name, [base + 1])
        return Proxy(name, [process], tls=base + 1)

    def start_nginx(self, name):
        config = self.configure("nginx-sni.conf", self.values("nginx"))
        process = self.spawn(name, ["nginx", "-e", self.work / "nginx.log", "-p", self.work, "-c", config])
        port = BASES["nginx"] + 1
        self.listens(name, [port])
        return Proxy(name, [process], tls=port)

    def start_spanway(self, name):
        folder = self.work / "objects"
        routes = [spanway.tls_route(one["route"], one["host"], "web") for one in self.routes()]
        files = {f"routes-{at // 100}.yaml": routes[at:at + 100] for at in range(0, len(routes), 100)}
        files["web.yaml"] = [spanway.CLASS, spanway.PASSTHROUGH, spanway.service("web", "tls"),
                             spanway.slices("web", ENDPOINTS)]
        spanway.write(folder, files)
        base = BASES["spanway"]
        process = spanway.start(self.processes, self.setup.spanway, folder, "spanway", base)
        self.listens("spanway", [base + 1])
        port = spanway.port(base, "bench/web", 443)
        self.listens("spanway", [port])
        return Proxy(name, [process], tls=port)


class TcpPairWorld(PairWorld):
    """A TCP port here that leads to a service in the other cluster."""

    def start_haproxy(self, name):
        far = self.configure("haproxy-far.cfg", self.far_values(name) | {"mode": "tcp", "http_only": "#"},
                             f"{name}-far.cfg")
        near = self.configure("haproxy-tcp.cfg", self.near_values(name) | {
            "far": f"127.0.0.1:{FAR[name]}", "server_options": self.client_tls()}, f"{name}-near.cfg")
        return self.both(name, ["haproxy", "-db", "-f", None], near, far)

    def start_envoy(self, name):
        # The one exchange of keys for which ours has a peer: Envoy knows the hybrid, haproxy does not.
        groups = "X25519MLKEM768"
        far = self.configure("envoy-tcp.yaml", self.far_values(name) | {
            "listen": FAR[name], "downstream_tls": self.downstream_tls(groups), "upstream_tls": ""}, f"{name}-far.yaml")
        near = self.configure("envoy-tcp.yaml", self.near_values(name) | {
            "listen": NEAR[name], "downstream_tls": "",
            "upstream_tls": self.upstream_tls(None, groups)}, f"{name}-near.yaml")
        return self.both(name, self.envoy_command(None), near, far)

    def downstream_tls(self, groups):
        certs = self.setup.certs
        return ("transport_socket: {name: envoy.transport_sockets.tls, typed_config: {"
                '"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, '
                "require_client_certificate: true, common_tls_context: {"
                "tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, "
                f"ecdh_curves: [{groups}]}}, tls_certificates: [{{"
                f"certificate_chain: {{filename: {certs}/server.pem}}, "
                f"private_key: {{filename: {certs}/server.key}}}}], "
                f"validation_context: {{trusted_ca: {{filename: {certs}/ca.pem}}}}}}}}}}")

    def start_spanway(self, name):
        near, far = self.link_clusters(
            near=[spanway.CLASS],
            far=[spanway.service(SERVICE, "tcp"), spanway.export(SERVICE), spanway.slices(SERVICE, ENDPOINTS)])
        self.port = spanway.port(NEAR["spanway"], f"bench/{SERVICE}", 80)
        self.listens(name, [self.port])
        until(lambda: spanway.reaches(self.port, self.routes()[0]["host"]), "the near gateway reaches the far one")
        return near, far
