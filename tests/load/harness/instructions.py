"""Row i: user instructions for each request, counted by callgrind.

Three runs of each proxy: a few requests, the same and an idle time behind them, and many. What
start and end cost falls out of the difference, and what idling costs is taken off.
"""
import time

from . import load
from .machine import Processes
from .proxies import Job, World
from .verdict import of_value

FEW, MANY = 1000, 5000
IDLE_SECONDS = 4
CONNECTIONS = 8


class Counted(World):
    """Proxies that run in callgrind."""

    def prefix(self, name):
        return ["valgrind", "--tool=callgrind", "--trace-children=yes", "--fair-sched=try",
                f"--callgrind-out-file={self.work}/{name}.callgrind.%p"]


def total(work, name):
    """Instructions of all threads of all processes of a proxy that has ended."""
    count = 0
    for file in work.glob(f"{name}.callgrind.*"):
        for line in file.read_text().splitlines():
            if line.startswith("totals:"):
                count += int(line.split()[1])
    return count


def one_run(context, name, label, requests, idle, fields):
    """Instructions of a whole run, and how long its requests took."""
    with Processes(context.folder(f"i-{name}-{label}")) as processes:
        world = Counted(context.setup, processes, Job())
        world.upstream()
        proxy = world.start(name)
        began = time.monotonic()
        load.measure(context.setup, proxy, connections=CONNECTIONS, requests=requests, warm=0.0, fields=fields)
        took = time.monotonic() - began
        # The idle time is what this run is for.
        time.sleep(idle)
        processes.end()
        return total(processes.work, name), took


def per_request(context, name, few, many, fields):
    first, took_first = one_run(context, name, f"{fields}-few", few, 0, fields)
    second, took_second = one_run(context, name, f"{fields}-many", many, 0, fields)
    return (first, second, took_second - took_first)


def row(context, peers):
    few, many = (FEW, MANY) if context.size.judged else (100, 300)
    if context.size.brief:
        few, many = few // 2, many // 2
    gates = {"program": ("i.a", 14_000, 9_000), "browser": ("i.a2", 20_000, 14_000)}
    figures = []
    for name in peers:
        idle = None
        for fields, (label, gate, goal) in gates.items():
            first, second, longer = per_request(context, name, few, many, fields)
            if idle is None:
                with_idle, _ = one_run(context, name, "idle", few, IDLE_SECONDS, fields)
                idle = max(0.0, (with_idle - first) / IDLE_SECONDS)
            spent = (second - first - idle * longer) / (many - few)
            judged = name == "spanway" and context.size.judged
            figures.append(of_value(label, name, spent, gate if judged else None, goal if judged else None,
                                    unit="instructions", note=f"idle {idle:,.0f} a second"))
    return figures
