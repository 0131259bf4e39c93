"""The rows: which proxies, which job, which load, which gates."""
import contextlib
import tomllib

from . import contest, instructions, latency, setup
from .contest import Contest, Versus
from .machine import Processes, refuse_taken
from .pairs import PORTS as PAIR_PORTS, PairWorld
from .proxies import BASES, PEERS, UPSTREAM_PORT, Job, World

CONSTANTS = tomllib.loads((PEERS / "rows.toml").read_text())
GENERAL = CONSTANTS["general"]
BEST = ("haproxy", "nginx")
PORTS = [UPSTREAM_PORT, *range(min(BASES.values()), max(BASES.values()) + 10)]
ALL = ("spanway", "haproxy", "nginx", "envoy")


@contextlib.contextmanager
def http_world(context, name, peers=ALL, job=None):
    """Proxies of one gateway that run, by name."""
    refuse_taken(PORTS)
    with Processes(context.folder(name)) as processes:
        world = World(context.setup, processes, job or Job(routes=GENERAL["routes"]))
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


def pair_row(name, versus, peers, **options):
    """A row of two gateways, one behind the other; both count."""
    def run(context):
        constants = CONSTANTS[name]
        refuse_taken([UPSTREAM_PORT, *PAIR_PORTS])
        with Processes(context.folder(name)) as processes:
            world = PairWorld(context.setup, processes, Job(routes=GENERAL["routes"]))
            world.upstream()
            proxies = {peer: world.start(peer) for peer in peers if "envoy" not in peer or context.setup.envoy}
            flags = {"connections": constants["connections"], **options}
            race = Contest(context.setup, name, proxies, versus, context.size, context.say, constants.get("low"), flags)
            return race.run(GENERAL["high"])
    return run


def latency_row(context):
    with http_world(context, "l", ("spanway", "haproxy", "nginx")) as proxies:
        return latency.row(context, proxies, CONSTANTS["l"])


def instructions_row(context):
    setup.packages(["valgrind"])
    refuse_taken(PORTS)
    # Envoy does not run in callgrind within the time that a run has.
    return instructions.row(context, ("spanway", "haproxy", "nginx"))


PAIRS = ("spanway", "haproxy", "haproxy-tcp", "envoy-h1", "envoy-h2")
ROWS = {
    "a": http_row("a", [Versus("best", BEST, 1.0, 0.8), Versus("envoy", ("envoy",), 0.4)]),
    "a2": http_row("a2", [Versus("best", BEST, 1.0, 0.8)], fields="browser"),
    "b": http_row("b", [Versus("best", BEST, 1.0, 0.75), Versus("envoy", ("envoy",), 0.4)], tls=True),
    "c": pair_row("c", [
        Versus("haproxy pair", ("haproxy",), 0.85, 0.65, gate_low=0.9),
        Versus("haproxy-tcp pair", ("haproxy-tcp",), 1.0, 0.85),
        Versus("envoy pair", ("envoy-h1", "envoy-h2"), 0.65, 0.45)], PAIRS),
    "l": latency_row,
    "i": instructions_row,
    "f": http_row("f", [Versus("envoy", ("envoy",), 0.95, 0.8), Versus("haproxy", ("haproxy",), 0.5)],
                  tls=True, carrier="fresh"),
    "e": http_row("e", [Versus("haproxy", ("haproxy",), 1.6, 1.1), Versus("envoy", ("envoy",), 0.6)],
                  ("spanway", "haproxy", "envoy"), tls=True, carrier="http2"),
    "g": http_row("g", [Versus("envoy", ("envoy",), 0.6), Versus("haproxy", ("haproxy",), None, 1.1)],
                  ("spanway", "haproxy", "envoy"), Job(routes=GENERAL["routes"], grpc=True), carrier="grpc"),
}


def size(kind, shared):
    """How much is measured: all, less, or only whether it works."""
    seconds, warm, rounds = GENERAL["seconds"], GENERAL["warm"], GENERAL["rounds"]
    if kind == "quick":
        return contest.Size(6, 0, seconds / 2, warm, 1, 60_000, shared=shared)
    if kind == "smoke":
        return contest.Size(1, 0, 0.2, 0.1, 0, 1, judged=False, shared=True)
    return contest.Size(rounds, GENERAL["rounds_more"], seconds, warm, GENERAL["closed_rounds"],
                        CONSTANTS["l"]["requests"], shared=shared)
