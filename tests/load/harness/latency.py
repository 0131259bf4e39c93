"""Row l: how long requests take at the low rate, from the moment that each was due."""
from . import load
from .contest import SMOKE_RATE
from .verdict import of_value, percentile, pooled

# So many times the wanted rounds may be void before the row gives up.
PATIENCE = 3


class Latency:
    """Interleaved rounds at one rate, until there are enough requests."""

    def __init__(self, context, proxies, constants, **options):
        self.context, self.proxies, self.constants, self.options = context, proxies, constants, options
        self.rounds = []

    def measure(self, name):
        size = self.context.size
        return load.measure(
            self.context.setup, self.proxies[name], warm=size.warm,
            rate=self.constants["low"] if size.judged else SMOKE_RATE,
            seconds=self.constants["seconds"] if size.judged else size.seconds,
            connections=self.constants["connections"], **self.options)

    def void(self, results):
        if not self.context.size.judged:
            return None
        busy = 2.0 if self.context.size.shared else load.BUSY_MAX
        for name, result in results.items():
            why = result.void(True, busy)
            if result.disturbed and not self.context.size.shared:
                why = why or f"{result.stolen:.1%} of the machine was stolen"
            if why:
                return f"{name}: {why}"
        return None

    def run(self, requests):
        wanted = -(-requests // int(self.constants["low"] * self.constants["seconds"]))
        for number in range(wanted * PATIENCE):
            names = list(self.proxies) if number % 2 == 0 else list(self.proxies)[::-1]
            results = {name: self.measure(name) for name in names}
            why = self.void(results)
            if why:
                self.context.say(f"  round {number + 1} is void: {why}")
            else:
                self.rounds.append(results)
            if len(self.rounds) >= wanted:
                break
        return len(self.rounds) >= wanted

    def took(self, part):
        """By proxy, in ms; nothing of one of which nothing counts."""
        return {name: percentile(pooled(one.took for one in self.counting(name)), part) for name in self.proxies}

    def counting(self, name):
        return [one[name] for one in self.rounds]

    def quiet(self, name):
        """What was measured of a proxy while the machine ran."""
        return [one[name] for one in self.rounds if self.context.size.shared or one[name].quiet]


def row(context, proxies, constants):
    race = Latency(context, proxies, constants)
    enough = race.run(context.size.latency)
    if not race.rounds:
        return [of_value("l", "all", None, note="no valid round")]
    figures = []
    for label, part, gate, goal in (("p50", 0.5, 1.0, 0.9), ("p99", 0.99, 1.1, 1.0)):
        took = race.took(part)
        best = min(("haproxy", "nginx"), key=took.get)
        note = ", ".join(f"{name} {value:.3f} ms" for name, value in took.items())
        if not (enough and context.size.judged):
            gate = goal = None
        figures.append(of_value(f"l.{label}", "haproxy", took["spanway"] / took["haproxy"], gate, unit="×", note=note))
        figures.append(of_value(f"l.{label}", "best", took["spanway"] / took[best], None, goal, unit="×", note=best))
    return figures
