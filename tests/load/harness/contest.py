"""Interleaved rounds of all proxies of a row, and the figures that come of them."""
import dataclasses
import statistics

from . import load
from .verdict import Figure, of_ratios, of_value, percentile, pooled

# Our p50 and pooled p99 may be this much above those of a peer with a gate.
LATENCY = 1.25
OURS = "spanway"
# Closed loops of each proxy by which the high rate is found; what it is lowered by while it is too much for
# one of them or for the load, and how often; how often it must not have been too much.
CLOSED_TRIES, LOWER, TRIALS, CARRIED = 3, 0.85, 5, 2
# Requests a second where nobody judges: as many as a busy machine without optimisation answers.
SMOKE_RATE = 200


@dataclasses.dataclass
class Versus:
    """A comparison: against the best of some peers in the same round."""
    peer: str
    names: tuple
    gate: float | None = None
    goal: float | None = None
    gate_low: float | None = None

    def at(self, rate):
        """Gate and goal at a rate: goals count at the high one only."""
        if rate == "low":
            return self.gate_low or self.gate, None
        return self.gate, self.goal


@dataclasses.dataclass
class Size:
    """How much of a row is measured."""
    rounds: int
    more: int
    seconds: float
    warm: float
    closed: int
    latency: int
    judged: bool = True
    shared: bool = False
    # Rows without rounds do less, too.
    brief: bool = False


class Contest:
    """Proxies that run, and what is measured of them at two rates."""

    def __init__(self, setup, name, proxies, versus, size, say, low, options):
        self.setup, self.name, self.proxies, self.versus = setup, name, proxies, versus
        self.size, self.say, self.options = size, say, options
        if low and not size.judged:
            low = SMOKE_RATE
        # A row without a low rate is measured at the high one only.
        self.rates = {"low": low, "high": None} if low else {"high": None}
        self.rounds = []
        self.void = []

    def measure(self, name, rate=None, seconds=None):
        """One measurement of one proxy."""
        return load.measure(self.setup, self.proxies[name], rate=rate, seconds=seconds or self.size.seconds,
                            warm=self.size.warm, **self.options)

    def gated(self):
        names = [name for versus in self.versus if versus.gate for name in versus.names]
        return [name for name in dict.fromkeys(names) if name in self.proxies]

    def find_high(self, part):
        """Closed loop for each; the slowest peer with a gate sets the high rate. At a rate that makes a
        round void nothing is learned: then it is a lower one."""
        carried = {name: self.carries(name) for name in self.proxies}
        slowest = min(self.gated() or self.proxies, key=carried.get)
        high = max(1, int(carried[slowest] * part)) if self.size.judged else SMOKE_RATE
        listed = ", ".join(f"{name} {rate:.0f}" for name, rate in carried.items())
        self.say(f"  {self.name}: closed loop carries {listed} a second; high is {part:.0%} of {slowest}: "
                 f"{high} a second, low {self.rates.get('low', 'none')}")
        for _ in range(TRIALS if self.size.judged else 0):
            why = self.too_much(high)
            if not why:
                break
            high = int(high * LOWER)
            self.say(f"  {self.name}: too much: {why}; high is {high} a second")
        self.rates["high"] = high

    def too_much(self, rate):
        """Why a round at this rate would be void, if one of some is."""
        for _ in range(CARRIED):
            reasons = self.reasons({("high", name): self.measure(name, rate) for name in self.proxies})
            if reasons:
                return reasons[0]
        return None

    def carries(self, name):
        """Requests a second in a closed loop: the middle one of some tries."""
        return statistics.median(self.measure(name).rate for _ in range(CLOSED_TRIES if self.size.judged else 1))

    def order(self, number):
        names = list(self.proxies)
        return names if number % 2 == 0 else names[::-1]

    def one_round(self, number):
        results = {}
        for rate, wanted in self.rates.items():
            for name in self.order(number):
                results[rate, name] = self.measure(name, wanted)
        if number < self.size.closed:
            for name in self.order(number):
                results["closed", name] = self.measure(name)
        reasons = self.reasons(results)
        if reasons:
            self.void.append(reasons[0])
            self.say(f"  {self.name}: round {number + 1} is void: {reasons[0]}")
        else:
            self.rounds.append(results)

    def reasons(self, results):
        """Why these measurements say nothing."""
        busy = 2.0 if self.size.shared else load.BUSY_MAX
        return [f"{rate} {name}: {why}" for (rate, name), result in results.items()
                # Whether answers are right is seen at any speed.
                if (why := result.void(rate != "closed" and self.size.judged, busy))]

    def run(self, part):
        self.find_high(part)
        for number in range(self.size.rounds):
            self.one_round(number)
        if self.undecided() and self.size.more:
            self.say(f"  {self.name}: no verdict after {self.size.rounds} rounds, {self.size.more} more")
            for number in range(self.size.rounds, self.size.rounds + self.size.more):
                self.one_round(number)
        return self.figures()

    def undecided(self):
        return any(figure.gate and figure.holds is None for figure in self.cpu_figures())

    def ratios(self, versus, rate):
        names = [name for name in versus.names if name in self.proxies]
        return [one[rate, OURS].per_request / min(one[rate, name].per_request for name in names)
                for one in self.rounds if names and (rate, OURS) in one]

    def cpu_figures(self):
        for rate in self.rates:
            for versus in self.versus:
                gate, goal = versus.at(rate)
                if not self.size.judged:
                    gate = goal = None
                yield of_ratios(f"{self.name}.{rate}", versus.peer, self.ratios(versus, rate), gate, goal)

    def spent(self, name, rate):
        return [one[rate, name].per_request for one in self.rounds if (rate, name) in one]

    def latency_figures(self):
        """Our p50 and pooled p99 against the cheapest peer of each gate, at the same rate."""
        if not self.rounds:
            return
        for rate in self.rates:
            quiet = {name: self.quiet(rate, name) for name in self.proxies}
            took = {name: pooled(one.took for one in results) for name, results in quiet.items()}
            for versus in self.versus:
                names = [name for name in versus.names if name in self.proxies]
                if not versus.gate or not names:
                    continue
                peer = min(names, key=lambda name: statistics.median(self.spent(name, rate)))
                for label, part in (("p50", 0.5), ("p99", 0.99)):
                    ours, theirs = percentile(took[OURS], part), percentile(took[peer], part)
                    gate = LATENCY if self.size.judged else None
                    ratio, note = None, "the machine stood still too long in every round"
                    if ours and theirs:
                        ratio = ours / theirs
                        note = (f"{ours:.3f} ms of {len(quiet[OURS])} rounds, "
                                f"{peer} {theirs:.3f} ms of {len(quiet[peer])}")
                    yield of_value(f"{self.name}.{rate}.{label}", versus.peer, ratio, gate, unit="×", note=note)

    def quiet(self, rate, name):
        """What was measured of a proxy while the machine ran: whether it did depends on no proxy."""
        return [one[rate, name] for one in self.rounds if self.size.shared or one[rate, name].quiet]

    def absolute(self):
        """CPU µs of every proxy, for whoever looks for the cause."""
        for rate in [*self.rates, "closed"]:
            for name in self.proxies:
                spent = sorted(self.spent(name, rate))
                if spent:
                    yield Figure(f"{self.name}.{rate}.cpu", name, statistics.median(spent), spent[0], spent[-1],
                                 unit="µs")

    def figures(self):
        figures = [*self.cpu_figures(), *self.latency_figures()]
        if any(("closed", OURS) in one for one in self.rounds):
            for versus in self.versus:
                figures.append(of_ratios(f"{self.name}.closed", versus.peer, self.ratios(versus, "closed")))
        return [*figures, *self.absolute()]
