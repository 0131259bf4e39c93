"""Row a3: row a with an access log of JSON lines to a pipe, the same fields in all."""
import datetime
import fcntl
import json
import os
import threading
import time
import urllib.request

from .contest import Contest
from .load import Wrong
from .proxies import PEERS, World
from .verdict import of_value, percentile

# As many bytes as a pipe may hold: a reader that looks every few ms misses nothing.
PIPE_BYTES = 1024 * 1024
LOOK_SECONDS = 0.005
# How late a line may be.
LATE_SECONDS = 1.0
STOPPED_SECONDS = 5.0


class Reader:
    """Reads one proxy's log, counts lines, and notes how late those of ours were."""

    def __init__(self, path, ours):
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self.path, self.ours = path, ours
        self.lines, self.latest, self.example = 0, 0.0, ""
        self.end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.stopped, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        rest = b""
        while not self.over.wait(LOOK_SECONDS):
            if self.stopped.is_set():
                continue
            try:
                got = os.read(self.end, PIPE_BYTES)
            except BlockingIOError:
                continue
            *whole, rest = (rest + got).split(b"\n")
            self.lines += len(whole)
            if whole:
                self.look(whole)

    def look(self, lines):
        """The first of what came together is the latest."""
        self.example = lines[0].decode(errors="replace")
        if self.ours:
            at = datetime.datetime.fromisoformat(json.loads(lines[0])["ts"][:26].rstrip("Z") + "+00:00")
            late = time.time() - at.timestamp()
            self.latest = max(self.latest, late)

    def close(self):
        self.over.set()
        self.thread.join()
        os.close(self.end)


class LoggingWorld(World):
    """Proxies that log every request to a pipe."""
    logs = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.readers = {name: Reader(self.work / f"{name}.fifo", name == "spanway")
                        for name in ("spanway", "haproxy", "nginx")}

    def stdout(self, name):
        return os.open(self.readers[name].path, os.O_WRONLY)

    def haproxy_values(self, server_options):
        fields = (PEERS / "haproxy-log.txt").read_text().splitlines()
        fields = "".join(line for line in fields if not line.startswith("#"))
        return super().haproxy_values(server_options) | {
            "log_global": "log stdout format raw daemon",
            "log_frontend": "\n  ".join([
                "log global", "http-request capture req.fhdr(host) len 64",
                f"log-format '{fields}'"]),
            "log_late": "\n  ".join(["http-request capture req.fhdr(x-request-id) len 64",
                                     "http-request capture req.fhdr(traceparent) len 64"])}

    def values(self, name):
        values = super().values(name)
        if name == "nginx":
            fields = [line for line in (PEERS / "nginx-log.txt").read_text().splitlines() if not line.startswith("#")]
            # Written in parts, as ours: each line is late by less than a second.
            values |= {"access_log": f"{self.readers['nginx'].path} json buffer=64k flush=900ms",
                       "log_fields": "'" + "".join(fields) + "'"}
        return values

    def close(self):
        for reader in self.readers.values():
            reader.close()


class Logged(Contest):
    """Counts the lines behind each measurement."""
    world = None

    def measure(self, name, rate=None, seconds=None):
        reader = self.world.readers[name]
        before = reader.lines
        result = super().measure(name, rate, seconds)
        end = time.monotonic() + LATE_SECONDS
        while reader.lines - before < result.ever and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        if reader.lines - before != result.ever:
            raise Wrong(f"{name}: {reader.lines - before} lines for {result.ever} requests: {reader.example}")
        if reader.latest > LATE_SECONDS:
            raise Wrong(f"{name}: a line was {reader.latest:.2f} s late")
        return result


def dropped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("spanway_access_log_dropped")]
    return int(float(lines[0].split()[-1])) if lines else 0


def stopped(race, world):
    """The reader stops for a while: nobody waits, and what is lost is counted."""
    proxy, reader = race.proxies["spanway"], world.readers["spanway"]
    seconds = STOPPED_SECONDS if race.size.judged else 0.5
    still = Contest.measure(race, "spanway", race.rates["low"], seconds)
    time.sleep(LATE_SECONDS)
    before, lost = reader.lines, dropped(proxy.metrics)
    reader.stopped.set()
    result = Contest.measure(race, "spanway", race.rates["low"], seconds)
    reader.stopped.clear()
    time.sleep(LATE_SECONDS)
    told = dropped(proxy.metrics) - lost
    missing = result.ever - (reader.lines - before) - told
    tails = [percentile(one.took, 0.99) for one in (still, result)]
    judged = race.size.judged
    return [of_value("a3.stopped.p99", "own", tails[1] / tails[0], 1.25 if judged else None, unit="×",
                     note=f"{tails[0]:.3f} and {tails[1]:.3f} ms"),
            of_value("a3.unaccounted", "own", missing, 0 if judged else None, unit="lines",
                     note=f"{told} lost and counted of {result.ever}")]


def row(context, world, constants, versus, part):
    try:
        proxies = {name: world.start(name) for name in world.readers}
        race = Logged(context.setup, "a3", proxies, versus, context.size, context.say, constants["low"],
                      {"connections": constants["connections"]})
        race.world = world
        figures = race.run(part)
        return figures + stopped(race, world)
    finally:
        world.close()
