"""Starts Spanway and its peers on the same job: one gateway before ten endpoints."""
import dataclasses
import os
import pathlib

from . import spanway
from .machine import LAST, LOAD_CORE, PROXY_CORE, Failure, connections_max, family, listening, settle, until
from .template import fill

PEERS = pathlib.Path(__file__).resolve().parents[1] / "peers"
# Every proxy has so many ports from its base on; ours takes them all.
BASES = {"spanway": 18400, "haproxy": 18450, "nginx": 18460, "envoy": 18470, "bare": 18480}
PLAIN, TLS, METRICS = 0, 1, 2
UPSTREAM_PORT = 18390
# Of an endpoint that no proxy knows.
DIRECT_PORT = 18391
# Endpoints have addresses of their own, as pods have.
ENDPOINTS = [(f"127.0.1.{number}", UPSTREAM_PORT) for number in range(1, 11)]


@dataclasses.dataclass
class Proxy:
    """A proxy that runs: one process of ours or several of a peer's."""
    name: str
    processes: list
    plain: int = 0
    tls: int = 0
    metrics: int = 0

    def pids(self):
        return [pid for process in self.processes for pid in family(process.pid)]


@dataclasses.dataclass
class Job:
    """What the proxies of a row do; they have as many routes as the load has hosts, or more."""
    routes: int | None = None
    grpc: bool = False
    workers: int = 1


class World:
    """Proxies and endpoints of a row, with their files in a folder."""
    # Whether requests are logged.
    logs = False

    def __init__(self, setup, processes, job):
        self.setup, self.processes, self.job = setup, processes, job
        self.work = processes.work
        self.core = PROXY_CORE

    def routes(self):
        count = self.job.routes or self.setup.routes
        names = (f"{number:04}" for number in range(count))
        return [{"route": f"r{name}", "host": f"h{name}.bench.example"} for name in names]

    def upstream(self, *flags, endpoints=ENDPOINTS):
        listen = ",".join(f"{address}:{port}" for address, port in endpoints)
        command = [self.setup.load, "upstream", "--listen", listen, *flags]
        self.processes.spawn("upstream", command, LOAD_CORE, nobody=False)
        self.listens("the endpoints", [UPSTREAM_PORT])

    def direct(self):
        """Where one more endpoint listens, for clients that have no proxy between."""
        to = ("127.0.0.1", DIRECT_PORT)
        # It waits as its clients do.
        command = [*LAST, self.setup.load, "upstream", "--raw", "--listen", "{}:{}".format(*to)]
        self.processes.spawn("direct", command, LOAD_CORE, nobody=False)
        self.listens("the endpoint of direct clients", [DIRECT_PORT])
        return to

    def listens(self, who, ports):
        def look():
            self.processes.check()
            return set(ports) <= listening()
        until(look, f"{who} listens")

    def values(self, name):
        base = BASES[name]
        endpoints = [{"index": index, "endpoint": f"{address}:{port}", "address": address, "port": port}
                     for index, (address, port) in enumerate(ENDPOINTS)]
        return {
            "limit": connections_max(), "work": self.work, "certs": self.setup.certs,
            "route": self.routes(), "endpoint": endpoints,
            "plain": base + PLAIN, "tls": base + TLS, "metrics": base + METRICS}

    def prefix(self, _name):
        """What a proxy runs in."""
        return []

    def stdout(self, _name):
        """Where standard output goes, if not to the file of errors."""
        return None

    def spawn(self, name, command):
        return self.processes.spawn(name, [*self.prefix(name), *command], self.core,
                                    stdout=self.stdout(name))

    def start(self, name):
        return self.rested(getattr(self, f"start_{name}")())

    def rested(self, proxy):
        """What follows a start is no part of a request."""
        settle(proxy.pids(), proxy.name)
        return proxy

    def configure(self, template, values, target=None):
        path = self.work / (target or template)
        path.write_text(fill((PEERS / template).read_text(), values))
        return path

    def started(self, name, process):
        base = BASES[name]
        proxy = Proxy(name, [process], base + PLAIN, base + TLS, base + METRICS)
        self.listens(name, [proxy.plain, proxy.tls])
        return proxy

    def haproxy_values(self, server_options):
        hosts = "".join(f"{one['host']} {one['route']}\n" for one in self.routes())
        (self.work / "haproxy-hosts.map").write_text(hosts)
        return {
            "log_global": "", "log_frontend": "", "log_late": "", "server_options": server_options,
            "threads": self.job.workers,
            # 32 and 16 digits of chance.
            "traceparent": "00-%[rand,hex,lower]%[rand,hex,lower]-%[rand,hex,lower]-00"}

    def start_haproxy(self):
        values = self.values("haproxy") | self.haproxy_values("proto h2" if self.job.grpc else "")
        config = self.configure("haproxy.cfg", values)
        return self.started("haproxy", self.spawn("haproxy", ["haproxy", "-db", "-f", config]))

    def start_nginx(self):
        values = {"access_log": "off", "log_fields": "''"} | self.values("nginx")
        forward = (PEERS / "nginx-forward.conf").read_text()
        (self.work / "nginx-forward.conf").write_text(forward)
        config = self.configure("nginx.conf", values)
        command = ["nginx", "-e", self.work / "nginx.log", "-p", self.work, "-c", config]
        return self.started("nginx", self.spawn("nginx", command))

    def envoy_command(self, config):
        return [self.setup.envoy, "-c", config, "--disable-hot-restart", "--concurrency", "1", "-l", "error"]

    def start_envoy(self):
        protocol = "http2_protocol_options" if self.job.grpc else "http_protocol_options"
        values = self.values("envoy") | {"access_log": "[]", "upstream_protocol": protocol, "upstream_tls": ""}
        config = self.configure("envoy.yaml", values)
        return self.started("envoy", self.spawn("envoy", self.envoy_command(config)))

    def start_bare(self):
        """No proxy: what the system alone takes of one."""
        own = BASES["bare"] + PLAIN
        endpoints = ",".join(f"{address}:{port}" for address, port in ENDPOINTS)
        process = self.spawn("bare", [self.setup.load, "bare", "--listen", f"127.0.0.1:{own}", "--to", endpoints])
        self.listens("bare", [own])
        return Proxy("bare", [process], own)

    def start_spanway(self):
        folder = self.work / "objects"
        protocol = "kubernetes.io/h2c" if self.job.grpc else "http"
        routes = [spanway.route(one["route"], one["host"], "web") for one in self.routes()]
        files = {f"routes-{at // 100}.yaml": routes[at:at + 100] for at in range(0, len(routes), 100)}
        files["web.yaml"] = [spanway.CLASS, spanway.gateway(self.setup.certs), spanway.service("web", protocol),
                             spanway.slices("web", ENDPOINTS)]
        spanway.write(folder, files)
        base = BASES["spanway"]
        process = spanway.start(
            self.processes, self.setup.spanway, folder, "spanway", base, workers=self.job.workers,
            core=self.core, prefix=self.prefix("spanway"), log=self.logs, stdout=self.stdout("spanway"))
        self.listens("spanway", [base + 1])
        plain, tls = (spanway.port(base, "bench/web", number) for number in (80, 443))
        self.listens("spanway", [plain, tls])
        return Proxy("spanway", [process], plain, tls, base + 3)


def readable(work):
    """The folder of a run may be read by whom the proxies run as, and written by it."""
    work.chmod(0o777 if os.geteuid() == 0 else 0o700)
    if not work.is_dir():
        raise Failure(f"{work} is no folder")
