"""Row t: what a request costs with two worker threads, against one, beside haproxy's own step."""
from . import load
from .proxies import World
from .verdict import Figure, of_ratios

# The machine has no core for a second worker alone: both proxies share both cores with the load.
CORES = "0,1"


class Threads(World):
    """Spanway and haproxy, each with one worker and with two."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.core = CORES

    def start_with(self, name, workers):
        proxy = self.start(name)
        proxy.name = f"{name}-{workers}"
        return proxy


def row(context, make, constants):
    """`make` gives a world; both numbers of threads run one after another in every round."""
    steps = {"spanway": [], "haproxy": []}
    spent = {}
    for number in range(context.size.rounds):
        order = [1, 2] if number % 2 == 0 else [2, 1]
        results = {}
        for workers in order:
            with make(workers) as world:
                for name in steps:
                    proxy = world.start_with(name, workers)
                    results[name, workers] = load.measure(
                        context.setup, proxy, rate=constants["low"] if context.size.judged else 200,
                        seconds=context.size.seconds, warm=context.size.warm,
                        connections=constants["connections"])
        for name, found in steps.items():
            found.append(results[name, 2].per_request / results[name, 1].per_request)
        for key, result in results.items():
            spent.setdefault(key, []).append(result.per_request)
    return figures(context, steps, spent)


def figures(context, steps, spent):
    ratios = [ours / theirs for ours, theirs in zip(steps["spanway"], steps["haproxy"])]
    gate, goal = (1.1, 1.0) if context.size.judged else (None, None)
    found = [of_ratios("t", "haproxy's 1 → 2", ratios, gate, goal)]
    for (name, workers), values in sorted(spent.items()):
        values.sort()
        found.append(Figure(f"t.{workers}.cpu", name, values[len(values) // 2], values[0], values[-1], unit="µs"))
    return found
