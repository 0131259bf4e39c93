"""Row i: user instructions for each request, counted by callgrind.

Each proxy runs once. What it has counted is written out, and begins anew, before and behind a few
requests, many requests, and an idle time: so what its start costs is in no figure, and what it does
besides is taken off.
"""
import os
import re
import subprocess
import time

from . import load
from .machine import NOBODY, Failure, Processes
from .proxies import Job, World
from .verdict import of_value

FEW, MANY = 500, 10_000
# A multiple of the periods at which ours looks around by itself, every 3 and every 5 s: with many
# routes each look costs as much as thousands of requests.
IDLE_SECONDS = 15
CONNECTIONS = 8


class Counted(World):
    """Proxies that run in callgrind."""

    def prefix(self, name):
        # Without fair turns one thread that polls would keep the others from running.
        return ["valgrind", "--tool=callgrind", "--trace-children=yes", "--fair-sched=try",
                f"--vgdb-prefix={self.work}/vgdb", f"--callgrind-out-file={self.work}/{name}.callgrind.%p"]


class Counter:
    """Reads what a proxy has counted since the last time."""

    def __init__(self, work, proxy):
        self.work, self.proxy, self.seen = work, proxy, set()
        self.take()

    def take(self):
        for pid in self.proxy.pids():
            command = ["vgdb", f"--vgdb-prefix={self.work}/vgdb", f"--pid={pid}", "dump"]
            if os.geteuid() == 0:
                command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                raise Failure(f"callgrind of {self.proxy.name} does not answer: {done.stderr[-500:]}")
        files = set(self.work.glob(f"{self.proxy.name}.callgrind.*")) - self.seen
        self.seen |= files
        # One file for each process; "totals" has all of its threads.
        return sum(int(count) for file in files for count in re.findall(r"^totals: (\d+)", file.read_text(), re.M))


def count(context, name, fields):
    """Instructions for each request, and those of an idle second."""
    few, many, rest = (FEW, MANY, IDLE_SECONDS) if context.size.judged else (50, 150, 1)
    if context.size.brief:
        many //= 2
    with Processes(context.folder(f"i-{name}-{fields}")) as processes:
        world = Counted(context.setup, processes, Job())
        world.upstream()
        proxy = world.start(name)

        def send(requests):
            began = time.monotonic()
            load.measure(context.setup, proxy, connections=CONNECTIONS, requests=requests, warm=0.0, fields=fields)
            spent = counter.take()
            return spent, time.monotonic() - began
        counter = Counter(processes.work, proxy)
        # Connections to the endpoints are opened, and code is translated.
        send(few)
        first, short = send(few)
        second, long = send(many)
        time.sleep(rest)
        idle = counter.take() / rest
        return (second - first - idle * (long - short)) / (many - few), idle


def row(context, peers):
    gates = {"program": ("i.a", 14_000, 9_000), "browser": ("i.a2", 20_000, 14_000)}
    figures = []
    for name in peers:
        for fields, (label, gate, goal) in gates.items():
            spent, idle = count(context, name, fields)
            judged = name == "spanway" and context.size.judged
            figures.append(of_value(label, name, spent, gate if judged else None, goal if judged else None,
                                    unit="instructions", note=f"idle {idle:,.0f} a second"))
    return figures
