"""One measurement: the load against one proxy, and what it says afterwards."""
import dataclasses
import json
import pathlib
import subprocess

from .machine import LOAD_CORE, Failure
from .stalls import Stalls

# A load that takes longer hangs.
PATIENCE_SECONDS = 120
# Of what was offered, so much must be answered by the end of the measured time.
IN_TIME = 0.99
BUSY_MAX = 0.85
# What the hypervisor takes of a second beyond this is a tail of its own.
STOLEN_MAX = 0.01
# The same of cores that stand still, whatever it says: a quarter of what a p99 is about.
STILL_MAX = 0.0025


@dataclasses.dataclass(kw_only=True)
class Told:
    """What the load is told."""
    load: pathlib.Path
    certs: pathlib.Path | None = None
    # Whether speed is judged; else it only matters that answers are right.
    judged: bool = True
    # Host routes of every proxy, and hosts that requests go to.
    routes: int = 1000
    # Who says how long cores stood still, if anybody can and tails are told.
    stalls: Stalls | None = None


class Wrong(Failure):
    """An answer or a head was wrong: the row fails."""


def part(jiffies):
    some, all_of_them = jiffies
    return some / max(all_of_them, 1)


class Result:
    """What came of one measurement."""

    def __init__(self, said, still):
        self.answered = said["answered"]
        self.offered = said["offered"]
        self.ever = said["ever"]
        self.bytes = said["bytes"]
        self.seconds = said["seconds"]
        self.endpoints = said["endpoints"]
        self.took = {int(end): count for end, count in said["took_ns"].items()}
        self.cpu = sum(said["spent"]["cpu_ns"])
        self.busy = part(said["spent"]["core"])
        self.own_busy = said["spent"]["own_ns"] / 1e9 / max(said["seconds"], 1e-9)
        self.stolen = part(said["spent"]["stolen"])
        self.still = still
        self.kept_up = said["in_time"] >= IN_TIME * said["offered"]

    @property
    def per_request(self):
        """CPU µs for each answered request."""
        return self.cpu / 1000 / self.answered

    @property
    def disturbed(self):
        """Whether this says nothing about a tail, whatever it says about CPU time."""
        return self.stolen > STOLEN_MAX

    @property
    def quiet(self):
        """Whether a tail is hardly any other's than the proxy's."""
        return not self.disturbed and self.still <= STILL_MAX

    @property
    def rate(self):
        return self.answered / self.seconds

    def void(self, open_loop, limit=BUSY_MAX):
        """Why this says nothing, or nothing."""
        if not self.answered and not self.bytes:
            return "nothing was answered"
        if open_loop and not self.kept_up:
            return f"answered {self.rate:.0f} of {self.offered / self.seconds:.0f} requests a second"
        if open_loop and self.busy > limit:
            return f"the load's core was {self.busy:.0%} busy"
        return None


def measure(setup, proxy, *, tls=False, rate=None, seconds=1.5, warm=0.4, watch=None, port=None, **options):
    """Runs the load; `options` are its further flags."""
    port = port or (proxy.tls if tls else proxy.plain)
    watched = watch if watch is not None else proxy.pids()
    command = [setup.load, "client", "--to", f"127.0.0.1:{port}", "--seconds", seconds, "--warm", warm,
               "--core", LOAD_CORE, "--hosts", setup.routes, "--watch", ",".join(map(str, watched))]
    command += ["--tls", setup.certs] if tls else []
    command += ["--rate", int(rate)] if rate else []
    command += [] if setup.judged else ["--patient"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
    command = ["taskset", "-c", LOAD_CORE, "setpriv", "--pdeathsig", "TERM", *command]
    stalls = setup.stalls
    if stalls:
        stalls.part()
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"the load against {proxy.name} hangs") from late
    if done.returncode != 0:
        raise Wrong(f"{proxy.name}: {done.stderr.strip()[-1500:]}")
    said = json.loads(done.stdout)
    if said["wrong"]:
        raise Wrong(f"{proxy.name}: {said['wrong']} wrong answers: {said['reasons'][:2]}")
    return Result(said, stalls.part() if stalls else 0.0)
