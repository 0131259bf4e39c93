"""From rounds to verdicts: medians of ratios, and the interval that order statistics give."""
import dataclasses
import math
import statistics

# The interval covers the median with this chance, whatever the distribution.
CONFIDENCE = 0.95


def rank(count):
    """The k of the interval from the k-th to the k-th last of sorted values; 0 for too few."""
    def outside(k):
        return 2 * sum(math.comb(count, i) for i in range(k)) / 2 ** count
    k = 0
    while k + 1 <= count // 2 and outside(k + 1) <= 1 - CONFIDENCE:
        k += 1
    return k


def interval(values):
    """Median and interval; an interval without ends where there are too few values."""
    values = sorted(values)
    k = rank(len(values))
    if not values:
        return None, None, None
    middle = statistics.median(values)
    return (middle, values[k - 1], values[-k]) if k else (middle, None, None)


def holds(low, high, limit, at_most=True):
    """True, False, or None for no verdict."""
    if limit is None or low is None or high is None:
        return None
    if at_most:
        return True if high <= limit else False if low > limit else None
    return True if low >= limit else False if high < limit else None


@dataclasses.dataclass
class Figure:
    """One line of the report."""
    id: str
    peer: str
    ratio: float | None
    low: float | None = None
    high: float | None = None
    gate: float | None = None
    goal: float | None = None
    holds: bool | None = None
    goal_holds: bool | None = None
    unit: str = "×"
    note: str = ""
    # For whoever judges several runs together.
    at_most: bool = True
    rounds: tuple = ()

    def logged(self):
        """All of it."""
        return {name: short(value) for name, value in dataclasses.asdict(self).items()}

    def json(self):
        """What a run tells."""
        return {name: value for name, value in self.logged().items() if name not in ("at_most", "rounds")}


def short(value):
    if isinstance(value, tuple):
        return [short(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def of_ratios(name, peer, values, gate=None, goal=None, unit="×", at_most=True, note=""):
    middle, low, high = interval(values)
    return Figure(name, peer, middle, low, high, gate, goal, holds(low, high, gate, at_most),
                  holds(low, high, goal, at_most), unit, note, at_most, tuple(values))


def of_value(name, peer, value, gate=None, goal=None, unit="", at_most=True, note=""):
    """A figure that has no rounds: its interval is itself."""
    return Figure(name, peer, value, value, value, gate, goal, holds(value, value, gate, at_most),
                  holds(value, value, goal, at_most), unit, note, at_most)


def percentile(took, part):
    """Of a histogram, in ms."""
    wanted = math.ceil(sum(took.values()) * part)
    seen = 0
    for end in sorted(took):
        seen += took[end]
        if seen >= wanted:
            return end / 1e6
    return None


def pooled(histograms):
    whole = {}
    for took in histograms:
        for end, count in took.items():
            whole[end] = whole.get(end, 0) + count
    return whole
