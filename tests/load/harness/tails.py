"""Rows lh and lc: the tail of row l while something else goes on."""
import json
import math
import os
import random
import subprocess
import time

from . import spanway
from .latency import Latency
from .machine import LOAD_CORE, Beside, Failure
from .proxies import BASES, ENDPOINTS, Proxy, World
from .verdict import of_value

# Services whose endpoints change, at most; the hosts of as many routes lead to them.
CHURNING = 100
# Later than that a change is not one of those that are asked for.
LATE_SECONDS = 0.1
# New connections a second where nobody judges.
SMOKE_ARRIVALS = 20


class Handshakes(Latency):
    """Standing connections are measured while new ones with mutual TLS arrive."""

    def measure(self, name):
        seconds = self.constants["seconds"] + self.context.size.warm
        rate = self.constants["arrivals"] if self.context.size.judged else SMOKE_ARRIVALS
        command = ["taskset", "-c", LOAD_CORE, "setpriv", "--pdeathsig", "TERM", self.context.setup.load, "client",
                   "--to", f"127.0.0.1:{self.proxies[name].tls}", "--carrier", "fresh",
                   "--hosts", self.context.setup.routes, "--tls", self.context.setup.certs,
                   "--rate", rate, "--seconds", seconds, "--warm", 0]
        arrivals = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        try:
            result = super().measure(name)
            said = json.loads(arrivals.communicate(timeout=30)[0])
        finally:
            arrivals.kill()
            arrivals.wait()
        if said["wrong"]:
            raise Failure(f"{name}: new connections were answered wrongly: {said['reasons'][:2]}")
        return result


def handshakes_row(context, proxies, constants):
    race = Handshakes(context, proxies, constants)
    race.run(context.size.latency)
    if not race.rounds:
        return [of_value("lh.p99", "all", None, note="no valid round")]
    took = race.took(0.99)
    gate, goal = (0.8, 0.5) if context.size.judged else (None, None)
    note = ", ".join(f"{name} {value:.3f} ms" for name, value in took.items())
    return [of_value("lh.p99", "haproxy", took["spanway"] / took["haproxy"], gate, goal, "×", note=note)]


class ChangingWorld(World):
    """10,000 routes; the first hundred lead to services whose endpoints change."""

    def start_spanway(self):
        folder = self.work / "objects"
        # Made once: what changes must not wait for what changes it.
        self.named = self.routes()[:min(CHURNING, self.setup.routes)]
        churning = len(self.named)
        names = [f"churn-{number:02}" for number in range(churning)]
        routes = [spanway.route(one["route"], one["host"], names[at] if at < churning else "web")
                  for at, one in enumerate(self.routes())]
        # What changes has a file of its own: the source reads whole files.
        files = {f"route-{at}.yaml": [routes[at]] for at in range(churning)}
        files |= {f"routes-{at // 100}.yaml": routes[at:at + 100] for at in range(churning, len(routes), 100)}
        files |= {f"{name}.yaml": [spanway.slices(name, ENDPOINTS)] for name in names}
        files["web.yaml"] = [spanway.CLASS, spanway.gateway(self.setup.certs), spanway.service("web"),
                             spanway.slices("web", ENDPOINTS), *map(spanway.service, names)]
        spanway.write(folder, files)
        base = BASES["spanway"]
        process = spanway.start(self.processes, self.setup.spanway, folder, "spanway", base)
        self.listens("spanway", [base + 1])
        port = spanway.port(base, "bench/web", 80)
        self.listens("spanway", [port])
        return Proxy("spanway", [process], plain=port)

    def changed_route(self, number):
        at = number % len(self.named)
        one = self.named[at]
        text = spanway.route(one["route"], one["host"], f"churn-{at:02}")
        changed = text.replace("set: [{name: x-bench-served",
                               f"set: [{{name: x-bench-version, value: \"{number}\"}}, {{name: x-bench-served")
        return f"route-{at}.yaml", changed

    def changed_endpoints(self, number):
        left = random.sample(ENDPOINTS, random.randint(5, len(ENDPOINTS)))
        name = f"churn-{number % len(self.named):02}"
        return f"{name}.yaml", spanway.slices(name, left)

    def changes(self, routes, endpoints, seconds):
        """When each of so many changes a second is due, and which file it makes what of."""
        made = [(number / rate, *change(number))
                for change, rate in ((self.changed_route, routes), (self.changed_endpoints, endpoints))
                for number in range(math.ceil(seconds * rate))]
        return sorted(made)


class Writer(Beside):
    """Writes files into a folder, each when it is due, until the block ends. Whoever writes has the core of those who
    measure: what is written was made before, and whenever both want to run the writer waits."""

    def __init__(self, changes, folder):
        super().__init__()
        self.changes, self.folder, self.behind = changes, folder, False

    def go_on(self):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        began = time.monotonic()
        for due, name, text in self.changes:
            early = began + due - time.monotonic()
            self.behind |= early < -LATE_SECONDS
            if self.over.wait(max(0, early)):
                return
            spanway.write(self.folder, {name: [text]})


class Changes(Latency):
    """The same gateway, left alone and while its objects change. Left alone, as much is written beside it."""

    def __init__(self, context, world, proxy, constants):
        super().__init__(context, {"still": proxy, "changing": proxy}, constants)
        self.world, self.behind = world, False

    def measure(self, name):
        # Longer than the load runs.
        seconds = self.constants["seconds"] + self.context.size.warm + 2
        changes = self.world.changes(self.constants["routes"], self.constants["endpoints"], seconds)
        with Writer(changes, self.world.work / ("objects" if name == "changing" else "beside")) as writer:
            result = super().measure(name)
        self.behind |= writer.behind
        return result

    def counting(self, name):
        """A tail of its own against another: what the machine adds to both hides the difference."""
        return self.quiet(name)

    def void(self, results):
        behind, self.behind = self.behind, False
        return "changes came late" if behind and self.context.size.judged else super().void(results)


def changes_row(context, world, proxy, constants):
    race = Changes(context, world, proxy, constants)
    # Two tails of the same gateway lie near each other: with more of both their ratio is less of chance.
    race.run(2 * context.size.latency)
    took = race.took(0.99)
    if not all(took.values()):
        return [of_value("lc.p99", "own l", None, note="no valid round")]
    gate, goal = (1.25, 1.05) if context.size.judged else (None, None)
    note = ", ".join(f"{name} {value:.3f} ms of {len(race.counting(name))} rounds" for name, value in took.items())
    return [of_value("lc.p99", "own l", took["changing"] / took["still"], gate, goal, "×", note=note)]
