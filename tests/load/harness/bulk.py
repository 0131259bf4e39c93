"""Rows of large bodies: bytes for each CPU second, as fast as they are carried."""
import statistics

from .contest import OURS, Contest
from .verdict import Figure, of_ratios


def per_cpu_second(result):
    """Bytes that a second of CPU time carried."""
    return result.bytes / (result.cpu / 1e9)


class Bulk(Contest):
    """Interleaved rounds without a rate: more is better, and nobody waits for a single answer."""

    def __init__(self, setup, name, proxies, versus, size, say, options):
        super().__init__(setup, name, proxies, versus, size, say, None, options)
        self.rates = {}

    def find_high(self, _part):
        """There is no rate."""

    def one_round(self, number):
        results = {name: self.measure(name) for name in self.order(number)}
        if all(result.bytes for result in results.values()):
            self.rounds.append(results)

    def ratios(self, versus, _rate):
        names = [name for name in versus.names if name in self.proxies]
        return [per_cpu_second(one[OURS]) / max(per_cpu_second(one[name]) for name in names)
                for one in self.rounds if names]

    def cpu_figures(self):
        for versus in self.versus:
            gate, goal = (versus.gate, versus.goal) if self.size.judged else (None, None)
            yield of_ratios(self.name, versus.peer, self.ratios(versus, None), gate, goal, at_most=False)

    def figures(self):
        figures = list(self.cpu_figures())
        for name in self.proxies if self.rounds else ():
            carried = sorted(per_cpu_second(one[name]) / 1e9 for one in self.rounds)
            figures.append(Figure(f"{self.name}.carried", name, statistics.median(carried), carried[0], carried[-1],
                                  unit="GB per CPU second"))
        return figures
