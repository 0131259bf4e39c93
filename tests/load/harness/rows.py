"""The rows: which proxies, which job, which load, which gates."""
import contextlib
import itertools
import tomllib

from . import alone as single
from . import accesslog, contest, instructions, latency, links, setup, tails, workers
from .bulk import Bulk
from .contest import Contest, Versus
from .machine import Processes, refuse_taken
from .pairs import PORTS as PAIR_PORTS, PairWorld
from .proxies import BASES, DIRECT_PORT, PEERS, UPSTREAM_PORT, Job, World
from .streams import SniWorld, TcpPairWorld

CONSTANTS = tomllib.loads((PEERS / "rows.toml").read_text())
GENERAL = CONSTANTS["general"]
BEST = ("haproxy", "nginx")
PORTS = [UPSTREAM_PORT, DIRECT_PORT, *range(min(BASES.values()), max(BASES.values()) + 10)]
ALL = ("spanway", "haproxy", "nginx", "envoy")


@contextlib.contextmanager
def http_world(context, name, peers=ALL, job=None):
    """Proxies of one gateway that run, by name."""
    refuse_taken(PORTS)
    with Processes(context.folder(name)) as processes:
        world = World(context.setup, processes, job or Job())
        world.upstream()
        yield {peer: world.start(peer) for peer in peers if peer != "envoy" or context.setup.envoy}


def http_row(name, versus, peers=ALL, job=None, **options):
    """A row of one gateway that is measured at two rates."""
    def run(context):
        constants = CONSTANTS[name]
        flags = {"connections": constants["connections"], **options}
        flags |= {"streams": constants["streams"]} if "streams" in constants else {}
        with http_world(context, name, peers, job) as proxies:
            race = Contest(context.setup, name, proxies, versus, context.size, context.say, constants.get("low"), flags)
            return race.run(GENERAL["high"])
    return run


@contextlib.contextmanager
def pair_world(context, name, peers, kind=PairWorld, flags=()):
    """Pairs of gateways that run, by name."""
    refuse_taken([UPSTREAM_PORT, *PAIR_PORTS])
    with Processes(context.folder(name)) as processes:
        world = kind(context.setup, processes, Job())
        world.upstream(*flags)
        yield {peer: world.start(peer) for peer in peers if "envoy" not in peer or context.setup.envoy}


def pair_row(name, versus, peers, kind=PairWorld, upstream=(), **options):
    """A row of two gateways, one behind the other; both count."""
    def run(context):
        constants = CONSTANTS[name]
        flags = {"connections": constants["connections"], **options}
        with pair_world(context, name, peers, kind, upstream) as proxies:
            race = Contest(context.setup, name, proxies, versus, context.size, context.say, constants.get("low"), flags)
            return race.run(GENERAL["high"])
    return run


def pair_bulk_row(context):
    best = Versus("best pair", PAIRS[1:], 1.0, 1.15)
    figures = []
    with pair_world(context, "cb", PAIRS) as proxies:
        for carrier in ("down", "up"):
            flags = {"connections": CONSTANTS["cb"]["connections"], "carrier": carrier}
            race = Bulk(context.setup, f"cb.{carrier}", proxies, [best], context.size, context.say, flags)
            figures += race.run(None)
    return figures


@contextlib.contextmanager
def sni_world(context, name, peers):
    refuse_taken(PORTS)
    with Processes(context.folder(name)) as processes:
        world = SniWorld(context.setup, processes, Job())
        world.upstream("--through")
        yield {peer: world.start(peer) for peer in peers}


def passthrough_row(context):
    versus = [Versus("haproxy", ("haproxy", "haproxy-splice"), 1.0), Versus("haproxy-copy", ("haproxy",), None, 2.5)]
    figures = []
    with sni_world(context, "d", ("spanway", "haproxy", "haproxy-splice")) as proxies:
        for count in CONSTANTS["d"]["connections"] if context.size.judged else [4]:
            flags = {"connections": count, "carrier": "through", "name": "h0007.bench.example"}
            race = Bulk(context.setup, f"d.{count}", proxies, versus, context.size, context.say, flags | TLS)
            figures += race.run(None)
    return figures


def hello_row(context):
    flags = {"connections": CONSTANTS["dn"]["connections"], "carrier": "hello", "name": "h0007.bench.example"}
    with sni_world(context, "dn", ("spanway", "nginx")) as proxies:
        race = Contest(context.setup, "dn", proxies, [Versus("nginx", ("nginx",), 1.3, 1.0)], context.size,
                       context.say, None, flags | TLS)
        return race.run(GENERAL["high"])


def latency_row(context):
    with http_world(context, "l", ("spanway", "haproxy", "nginx")) as proxies:
        return latency.row(context, proxies, CONSTANTS["l"])


def handshakes_row(context):
    with http_world(context, "lh", ("spanway", "haproxy")) as proxies:
        return tails.handshakes_row(context, proxies, CONSTANTS["lh"])


def changes_row(context):
    constants = CONSTANTS["lc"]
    table = constants["table"] if context.size.judged else context.setup.routes
    with alone(context, "lc", tails.ChangingWorld, Job(routes=table)) as world:
        return tails.changes_row(context, world, world.start("spanway"), constants)


@contextlib.contextmanager
def alone(context, name, kind=World, job=None, upstream=()):
    """A world without peers."""
    refuse_taken([*PORTS, *PAIR_PORTS])
    with Processes(context.folder(name)) as processes:
        world = kind(context.setup, processes, job or Job())
        world.upstream(*upstream)
        yield world


def memory_row(context):
    with alone(context, "m", links.LinkedWorld) as world:
        return single.memory_row(context, world.start("spanway"), CONSTANTS["m"])


def start_row(context):
    with alone(context, "k") as world:
        return single.start_row(context, world, CONSTANTS["k"])


def slow_row(context):
    with alone(context, "s") as world:
        return single.slow_row(context, world, CONSTANTS["s"])


def ports_row(context):
    refuse_taken(range(links.MANY_PORTS[0], links.MANY_PORTS[1] + 1))
    ports = CONSTANTS["mp"]["ports"] if context.size.judged else 2 * links.SERVICES_OF
    found = []
    for number in (1, 8):
        with alone(context, f"mp-{number}", links.PortsWorld) as world:
            found.append(single.mirrored_ports(context, world, number, ports))
    return single.ports_figures(context, *found)


def distance_row(context):
    with alone(context, "nl", links.FarWorld, upstream=("--raw",)) as world:
        return links.distance_row(context, world, CONSTANTS["nl"])


def log_row(context):
    with alone(context, "a3", accesslog.LoggingWorld) as world:
        return accesslog.row(context, world, CONSTANTS["a3"], [Versus("best", BEST, 1.0, 0.85)], GENERAL["high"])


def threads_row(context):
    numbers = itertools.count()

    @contextlib.contextmanager
    def make(count):
        name, job = f"t-{next(numbers)}", Job(workers=count)
        with alone(context, name, workers.Threads, job) as world:
            yield world
    return workers.row(context, make, CONSTANTS["t"])


def workers_row(context):
    constants = CONSTANTS["u"]
    count = constants["endpoints"] if context.size.judged else 20
    endpoints = [(f"127.0.{2 + at // 250}.{1 + at % 250}", UPSTREAM_PORT) for at in range(count)]
    found = []
    for number in (1, 8):
        refuse_taken(PAIR_PORTS)
        with Processes(context.folder(f"u-{number}")) as processes:
            world = links.ManyEndpoints(context.setup, processes, Job(workers=number), endpoints)
            world.upstream("--raw", endpoints=endpoints)
            found.append(links.connections(context, world, constants))
    return links.workers_figures(context, *found)


def instructions_row(context):
    setup.packages(["valgrind"])
    refuse_taken(PORTS)
    # Envoy does not run in callgrind within the time that a run has.
    return instructions.row(context, ("spanway", "haproxy", "nginx"))


TLS = {"tls": True}
PAIRS = ("spanway", "haproxy", "haproxy-tcp", "envoy-h1", "envoy-h2")
ROWS = {
    "a": http_row("a", [Versus("best", BEST, 1.0, 0.8), Versus("envoy", ("envoy",), 0.4), Versus("bare", ("bare",))],
                  (*ALL, "bare")),
    "a2": http_row("a2", [Versus("best", BEST, 1.0, 0.8)], ("spanway", *BEST), fields="browser"),
    "b": http_row("b", [Versus("best", BEST, 1.0, 0.75), Versus("envoy", ("envoy",), 0.4)], tls=True),
    "c": pair_row("c", [
        Versus("haproxy pair", ("haproxy",), 0.85, 0.65, gate_low=0.9),
        Versus("haproxy-tcp pair", ("haproxy-tcp",), 1.0, 0.85),
        Versus("envoy pair", ("envoy-h1", "envoy-h2"), 0.65, 0.45)], PAIRS),
    "l": latency_row,
    "i": instructions_row,
    "f": http_row("f", [Versus("envoy", ("envoy",), 0.95, 0.8), Versus("haproxy", ("haproxy",), 0.5)],
                  ("spanway", "haproxy", "envoy"), tls=True, carrier="fresh"),
    "e": http_row("e", [Versus("haproxy", ("haproxy",), 1.6, 1.1), Versus("envoy", ("envoy",), 0.6)],
                  ("spanway", "haproxy", "envoy"), tls=True, carrier="http2"),
    "g": http_row("g", [Versus("envoy", ("envoy",), 0.6), Versus("haproxy", ("haproxy",), None, 1.1)],
                  ("spanway", "haproxy", "envoy"), Job(grpc=True), carrier="grpc"),
    "cb": pair_bulk_row,
    "m": memory_row,
    "a3": log_row,
    "dn": hello_row,
    "d": passthrough_row,
    "n": pair_row("n", [
        Versus("haproxy pair", ("haproxy-tcp",), 0.5), Versus("envoy pair", ("envoy-tcp",), 1.0, 0.8)],
        ("spanway", "haproxy-tcp", "envoy-tcp"), TcpPairWorld, ("--raw",), carrier="fresh", raw=True),
    "nl": distance_row,
    "s": slow_row,
    "lc": changes_row,
    "lh": handshakes_row,
    "mp": ports_row,
    "k": start_row,
    "t": threads_row,
    "u": workers_row,
}


# Routes where nobody judges: what is started takes a second, even if it was built without optimisation.
SMOKE_ROUTES = 50
# Together they start every kind of proxy and carry every kind of load.
SMOKE = ("a", "a2", "b", "c", "f", "e", "g", "cb", "a3", "dn", "d", "n", "nl")


def size(kind, shared):
    """How much is measured: all, less, or only whether it works."""
    seconds, warm, rounds = GENERAL["seconds"], GENERAL["warm"], GENERAL["rounds"]
    if kind == "quick":
        return contest.Size(6, 0, seconds / 2, warm, 1, 60_000, shared=shared, brief=True)
    if kind == "smoke":
        return contest.Size(1, 0, 0.4, 0.1, 0, 1, judged=False, shared=True)
    return contest.Size(rounds, GENERAL["rounds_more"], seconds, warm, GENERAL["closed_rounds"],
                        CONSTANTS["l"]["requests"], shared=shared)
