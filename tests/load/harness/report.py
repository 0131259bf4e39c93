"""What a run prints, and the log of all starts."""
import datetime
import json
import pathlib
import subprocess
import sys

from .setup import ROOT

LOG = pathlib.Path(__file__).resolve().parents[1] / "log"
WORDS = {True: "holds", False: "FAILS", None: "no verdict"}


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def commit():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")


class Log:
    """Numbers every start before anything is measured, so that none can be left out later."""

    def __init__(self, folder, facts):
        folder.mkdir(parents=True, exist_ok=True)
        self.starts = folder / "starts.jsonl"
        lines = self.starts.read_text().splitlines() if self.starts.exists() else []
        self.number = 1 + max((json.loads(line)["number"] for line in lines), default=0)
        self.figures = folder / f"{self.number:04}.jsonl"
        self.note(began=now(), commit=commit(), **facts)

    def note(self, **facts):
        with self.starts.open("a") as file:
            file.write(json.dumps({"number": self.number, **facts}, ensure_ascii=False) + "\n")

    def add(self, figure):
        with self.figures.open("a") as file:
            file.write(json.dumps(figure.logged(), ensure_ascii=False) + "\n")

    def end(self, how):
        self.note(ended=now(), how=how)


def number(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def line(figure):
    text = f"{figure.id:14} {figure.peer:14} {number(figure.ratio):>8} {figure.unit}"
    if figure.low is not None and figure.low != figure.high:
        text += f" ({number(figure.low)} to {number(figure.high)})"
    if figure.gate is not None:
        text += f", gate {number(figure.gate)}: {WORDS[figure.holds]}"
    if figure.goal is not None:
        text += f", goal {number(figure.goal)}: {WORDS[figure.goal_holds]}"
    return text + (f"; {figure.note}" if figure.note else "")


class Printer:
    """Text for people; with `--json` objects on standard output and the text beside it."""

    def __init__(self, as_json):
        self.as_json = as_json

    def say(self, text):
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def figure(self, figure):
        self.say(line(figure))
        if self.as_json:
            print(json.dumps(figure.json(), ensure_ascii=False), flush=True)
