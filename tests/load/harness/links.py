"""Rows about links: the first byte over a distance, mirrored ports, and connections by workers."""
import http.client
import pathlib
import socket
import statistics
import time

from . import load, spanway
from .alone import judged
from .machine import LOAD_CORE, Beside, Failure, until
from .pairs import FAR, NEAR, PairWorld
from .proxies import ENDPOINTS, UPSTREAM_PORT, Proxy
from .verdict import of_value

RELAY_PORT = 18389
# The first port of a controller apart, where no peer of these rows is.
CONTROLLER = 18380
# Mirrored ports of row mp: many more than a gateway of the other rows has.
MANY_PORTS = (20000, 31999)
SERVICES_OF = 100


class FarWorld(PairWorld):
    """Two clusters with a relay between them."""

    def relay(self, delay):
        self.processes.spawn("relay", [
            self.setup.load, "relay", "--listen", f"127.0.0.1:{RELAY_PORT}", "--to", f"127.0.0.1:{FAR['spanway']}",
            "--delay", delay], LOAD_CORE, nobody=False)
        self.listens("the relay", [RELAY_PORT])

    def link_port(self, other, base):
        return RELAY_PORT if other == "far" else base

    def start_spanway(self, _name):
        near, far = self.link_clusters(
            near=[spanway.CLASS],
            far=[text for name, protocol in (("web", "http"), ("db", "tcp"))
                 for text in (spanway.service(name, protocol), spanway.export(name), spanway.slices(name, ENDPOINTS))])
        self.ports = {name: spanway.port(NEAR["spanway"], f"bench/{name}", 80) for name in ("web", "db")}
        self.port = self.ports["web"]
        host = self.routes()[0]["host"]
        for port in self.ports.values():
            until(lambda port=port: spanway.reaches(port, host), "the near gateway reaches the far one")
        return near, far


class ApartWorld(PairWorld):
    """Two clusters, of which the near one has its controller in a process apart, as the chart has: what that
    one holds is no gateway's."""
    workers = 1
    many_ports = None

    def start_one(self, side, base):
        if side == "far":
            return super().start_one(side, base)
        return spanway.start_apart(self.processes, self.setup.spanway, self.work / side, side, base, CONTROLLER,
                                   workers=self.workers, ports=self.many_ports)


class LinkedWorld(ApartWorld):
    """A gateway before local endpoints, with a link to another cluster."""

    def start(self, name):
        # One route: what a route costs is another figure.
        near, _ = self.link_clusters(
            near=[spanway.CLASS, spanway.gateway(self.setup.certs), spanway.service("web"),
                  spanway.slices("web", ENDPOINTS), spanway.route("r0000", "*.bench.example", "web")],
            far=[spanway.service("other"), spanway.export("other"), spanway.slices("other", ENDPOINTS)])
        plain, tls = (spanway.port(NEAR["spanway"], "bench/web", number) for number in (80, 443))
        # The link stands when what it exports has a port here.
        spanway.port(NEAR["spanway"], "bench/other", 80)
        return self.rested(Proxy(name, [near], plain=plain, tls=tls))


def first_byte_cold(port):
    """A new connection through a mirrored TCP port, in ms."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        began = time.monotonic()
        connection.sendall(b"GET /r/0000000000 HTTP/1.1\r\nhost: h0000.bench.example\r\n\r\n")
        if not connection.recv(1):
            raise Failure("the connection ended before its first byte")
        return (time.monotonic() - began) * 1000


def first_bytes_ready(port, count):
    """Requests over link connections that are open, in ms."""
    took = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for _ in range(count + len(ENDPOINTS) * 4):
        began = time.monotonic()
        connection.request("GET", "/r/0000000000", headers={"host": "h0000.bench.example"})
        answer = connection.getresponse()
        took.append((time.monotonic() - began) * 1000)
        if answer.status != 200 or not answer.read().startswith(b"/r/"):
            raise Failure("a wrong answer through the relay")
    # The first ones opened the connections.
    return took[-count:]


def distance_row(context, world, constants):
    world.relay(constants["delay"])
    world.start("spanway")
    count = constants["requests"] if context.size.judged else 5
    round_trip = 2 * constants["delay"]
    ready = statistics.median(first_bytes_ready(world.ports["web"], count))
    cold = statistics.median(first_byte_cold(world.ports["db"]) for _ in range(count))
    return [of_value("nl.ready", "own", ready - round_trip, *judged(context, 2, 1), unit="ms over 1 RTT"),
            of_value("nl.cold", "own", cold - 3 * round_trip, *judged(context, 5, 3), unit="ms over 3 RTT")]


class PortsWorld(ApartWorld):
    """A far cluster that exports many ports in services of a hundred. Each has two container ports
    in the near one: that of the derived Service and that of the mirrored one."""
    many_ports = MANY_PORTS

    def start_near(self, workers):
        self.workers = workers
        near, _ = self.link_clusters(near=[spanway.CLASS], far=[
            spanway.service("one", "tcp"), spanway.export("one"), spanway.slices("one", ENDPOINTS)])
        spanway.port(NEAR["spanway"], "bench/one", 80)
        return Proxy("spanway", [near])

    def container_ports(self):
        return MANY_PORTS

    def export(self, ports):
        numbers = range(1, SERVICES_OF + 1)
        texts = []
        for name in (f"many-{at:03}" for at in range(ports // (2 * SERVICES_OF))):
            texts += [spanway.service_of(name, numbers), spanway.export(name),
                      spanway.slices_of(name, numbers, ENDPOINTS[0][0], UPSTREAM_PORT)]
        spanway.write(self.work / "far", {"many.yaml": texts})


class ManyEndpoints(PairWorld):
    """Five hundred endpoints in the other cluster."""

    def __init__(self, setup, processes, job, endpoints):
        super().__init__(setup, processes, job)
        self.endpoints = endpoints

    def start_one(self, side, base):
        return spanway.start(self.processes, self.setup.spanway, self.work / side, side, base,
                             workers=self.job.workers if side == "near" else 1)

    def start_spanway(self, _name):
        near, far = self.link_clusters(
            near=[spanway.CLASS],
            far=[spanway.service("web"), spanway.export("web"), spanway.slices("web", self.endpoints)])
        self.port = spanway.port(NEAR["spanway"], "bench/web", 80)
        until(lambda: spanway.reaches(self.port, "h0000.bench.example"), "the near gateway reaches the far one")
        return near, far


class Watch(Beside):
    """Connections to the far gateway: those that stand, and all that were ever seen."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def standing(self):
        wanted = f":{FAR['spanway']:04X}"
        lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines]
        return {one[1] for one in fields if one[2].endswith(wanted) and one[3] == "01"}

    def go_on(self):
        while not self.over.wait(0.02):
            self.seen |= self.standing()


def connections(context, world, constants):
    """Standing link connections, and all that were opened, after a time at a rate."""
    with Watch() as watch:
        pair = world.start("spanway")
        seconds = constants["seconds"] if context.size.judged else 1.0
        load.measure(context.setup, pair, rate=constants["low"], seconds=seconds, warm=0.1,
                     connections=constants["connections"], raw=True)
        return len(watch.standing()), len(watch.seen)


def workers_figures(context, one, eight):
    gate, goal = judged(context, 2, 1.2)
    note = f"{eight[0]} and {one[0]} stand, {eight[1]} and {one[1]} were opened"
    return [of_value("u.connections", "own 1", eight[0] / one[0], gate, goal, "×", note=note),
            of_value("u.handshakes", "own 1", eight[1] / one[1], gate, goal, "×", note=note)]

