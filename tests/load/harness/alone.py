"""Rows of ours alone: memory, the start, mirrored ports, slow readers."""
import contextlib
import http.client
import signal
import statistics
import subprocess
import time

from . import machine, spanway
from .latency import Latency
from .machine import LAST, LOAD_CORE, Failure, pss
from .proxies import BASES
from .verdict import of_value, percentile, pooled

# How long CPU at rest is watched, and how long memory has to come back.
REST_SECONDS, AFTER_SECONDS = 10, 60


@contextlib.contextmanager
def held(context, to, what, count, tls=False):
    """Connections that are open for as long as the block. Who holds them waits whenever those who measure want to
    run."""
    command = ["taskset", "-c", LOAD_CORE, "setpriv", "--pdeathsig", "TERM", *LAST,
               context.setup.load, "hold", "--to", "{}:{}".format(*to), "--what", what, "--connections", count]
    command += ["--tls", context.setup.certs] if tls else []
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline().strip() != "ready":
            raise Failure(f"{count} connections cannot be held: {process.communicate()[1][-500:]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def cpu_share(pids, seconds):
    """Part of a core that these processes use."""
    return machine.cpu_during(pids, seconds) / 1e9 / seconds


def judged(context, gate, goal):
    return (gate, goal) if context.size.judged else (None, None)


def memory_row(context, proxy, constants):
    """One gateway with a link; connections that did one request and idle."""
    pids = proxy.pids()
    count = constants["connections"] if context.size.judged else 200
    figures = [of_value("m.rest", "own", pss(pids) / 1024, *judged(context, 15, 8), unit="MB")]
    for label, port, tls, gate, goal in (("plain", proxy.plain, False, 4, 2), ("mtls", proxy.tls, True, 20, 10)):
        before = pss(pids)
        with held(context, ("127.0.0.1", port), "idle", count, tls):
            machine.settle(pids, "the gateway")
            each = (pss(pids) - before) / count
            share = cpu_share(pids, REST_SECONDS if context.size.judged else 1)
        time.sleep(AFTER_SECONDS if context.size.judged and not context.size.brief else 2)
        over = (pss(pids) - before) / 1024
        figures += [
            of_value(f"m.{label}", "own", each, *judged(context, gate, goal), unit="KB a connection"),
            of_value(f"m.{label}.cpu", "own", share * 100, *judged(context, 0.5, 0.1), unit="% of a core"),
            of_value(f"m.{label}.after", "own", over, *judged(context, 5, 1), unit="MB over before")]
    return figures


def answers(port, host):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/r/0000000000", headers={
            "host": host, "x-bench-keep": "yes", "x-bench-remove": "secret"})
        answer = connection.getresponse()
        return answer.status == 200 and answer.read().startswith(b"/r/0000000000 ")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start_row(context, world, constants):
    """From exec to the first right answer. The directory has been run before, as at a restart."""
    proxy = world.start("spanway")
    wall, spent = [], []
    for _ in range(constants["starts"] if context.size.judged and not context.size.brief else 3):
        world.processes.end(proxy.processes[0])
        began = time.monotonic()
        proxy.processes = [spanway.start(world.processes, context.setup.spanway, world.work / "objects", "spanway",
                                         BASES["spanway"])]
        while not answers(proxy.plain, world.routes()[-1]["host"]):
            world.processes.check()
            time.sleep(0.001)
        wall.append((time.monotonic() - began) * 1000)
        spent.append(machine.cpu(proxy.pids()) / 1e6)
        machine.settle(proxy.pids(), "the gateway")
    return [of_value("k.wall", "own", statistics.median(wall), *judged(context, 300, 100), unit="ms"),
            of_value("k.cpu", "own", statistics.median(spent), *judged(context, 150, 50), unit="ms")]


def slow_row(context, world, constants):
    """Clients that read slowly, and the tail of others meanwhile. What of it is the load's own, with which such clients
    share a core, shows where as many read from an endpoint and nothing from the gateway."""
    proxy = world.start("spanway")
    count = constants["slow"] if context.size.judged else 50
    through = ("127.0.0.1", proxy.plain)

    def took(requests=constants["requests"]):
        race = Latency(context, {"spanway": proxy}, constants)
        race.run(requests if context.size.judged else 1)
        return [one.took for one in race.quiet("spanway")]

    def meanwhile(to, what):
        machine.settle(proxy.pids(), "the gateway")
        before = pss(proxy.pids())
        with held(context, to, what, count):
            time.sleep(constants["fill"] if context.size.judged else 1)
            each = (pss(proxy.pids()) - before) / count
            return each, took()

    still = took(constants["requests"] // 2)
    held_by = {"h1": meanwhile(through, "slow"), "direct": meanwhile(world.direct(), "slow"),
               "h2": meanwhile(through, "slow-http2")}
    machine.settle(proxy.pids(), "the gateway")
    still = percentile(pooled(still + took(constants["requests"] // 2)), 0.99)
    figures = []
    for label, (each, slow) in held_by.items():
        tail, ratio, note = percentile(pooled(slow), 0.99), None, "no valid round"
        if still and tail:
            ratio, note = tail / still, f"{still:.3f} and {tail:.3f} ms"
        gates = (None, None)
        if label != "direct":
            gates = judged(context, 1.1, 1.0)
            figures.append(of_value(f"s.{label}", "own", each, *judged(context, 64, 40), unit="KB a client"))
        figures.append(of_value(f"s.{label}.p99", "own l", ratio, *gates, unit="×", note=note))
    return figures


def mirrored_ports(context, world, workers, ports):
    """PSS a port, seconds until all are bound, and CPU at rest."""
    near = world.start_near(workers)
    before = machine.pss_at_rest(near.pids(), "the near gateway")
    began = time.monotonic()
    world.export(ports)
    first, last = world.container_ports()
    machine.until(lambda: sum(1 for port in machine.listening() if first <= port <= last) >= ports,
                  f"{ports} mirrored ports are bound", 180)
    bound = time.monotonic() - began
    each = (machine.pss_at_rest(near.pids(), "the near gateway") - before) / ports
    share = cpu_share(near.pids(), REST_SECONDS if context.size.judged else 1)
    return each, bound, share


def ports_figures(context, one, eight):
    (each, bound, share), (each_eight, _, _) = one, eight
    return [of_value("mp.1", "own", each, *judged(context, 2, 0.7), unit="KB a port"),
            of_value("mp.8", "own", each_eight, *judged(context, 2, 0.7), unit="KB a port"),
            of_value("mp.bound", "own", bound, *judged(context, 2, 0.5), unit="s"),
            of_value("mp.cpu", "own", share * 100, *judged(context, 0.5, 0.1), unit="% of a core")]
