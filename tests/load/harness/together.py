"""What some runs of the log say together: `--pool 1,2,3`.

Ratios are judged anew over the rounds of all runs. What has no rounds is the middle one of its runs.
"""
import json
import statistics

from .machine import Failure
from .report import line
from .verdict import Figure, of_ratios, of_value

# What is the same in all of them.
SAME = ("gate", "goal", "unit", "at_most")


def figures_of(log, number):
    """The figures of one run, by what they tell of."""
    path = log / f"{number:04}.jsonl"
    if not path.exists():
        raise Failure(f"{path}: no such run")
    found = {}
    for text in path.read_text().splitlines():
        figure = json.loads(text)
        if "rounds" not in figure:
            raise Failure(f"{path}: written before rounds were logged, so it goes together with no other")
        found[figure["id"], figure["peer"]] = figure
    return found


def pooled(runs, count):
    """One figure of `count` runs; it has no verdict where one of them did not come to it."""
    first = runs[0]
    asked = {name: first[name] for name in SAME}
    if first["gate"] is not None:
        asked["note"] = f"singly {sum(run['holds'] is True for run in runs)} of {count}"
    name, peer, values = first["id"], first["peer"], [run["ratio"] for run in runs]
    if len(runs) < count or None in values:
        return Figure(name, peer, None, **asked)
    if all(run["rounds"] for run in runs):
        return of_ratios(name, peer, [one for run in runs for one in run["rounds"]], **asked)
    return of_value(name, peer, statistics.median(values), **asked)


def starts(log, numbers):
    """How these runs began."""
    lines = (json.loads(text) for text in (log / "starts.jsonl").read_text().splitlines())
    return [one for one in lines if one["number"] in numbers and "began" in one]


def report(log, numbers, say):
    """Prints what they say together; tells whether every gate holds."""
    for start in starts(log, numbers):
        say("start {number}: {began}, {kind} run at {commit}, rows {rows}".format(**start))
    runs = [figures_of(log, number) for number in numbers]
    failed = 0
    for key in dict.fromkeys(key for run in runs for key in run):
        figure = pooled([run[key] for run in runs if key in run], len(runs))
        failed += figure.gate is not None and not figure.holds
        say(line(figure))
    say(f"gates that do not hold: {failed}")
    return not failed
