"""The command line of the comparison."""
import argparse
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from . import machine, proxies, report, rows, setup, together
from .load import Told, Wrong
from .stalls import watched
from .verdict import Figure

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DESCRIPTION = """Spanway beside haproxy, nginx and Envoy on the same work, in one run on this machine.
Prints for every row the ratio, its interval, the gate, the goal and whether they hold."""


@dataclasses.dataclass(kw_only=True)
class Setup(Told):
    """What a run has at hand."""
    spanway: pathlib.Path
    envoy: pathlib.Path | None


class Context:
    """What a row is told."""

    def __init__(self, setup_, size, printer, work):
        self.setup, self.size, self.say, self.work = setup_, size, printer.say, work

    def folder(self, name):
        folder = self.work / name
        folder.mkdir()
        proxies.readable(folder)
        return folder


def arguments():
    parser = argparse.ArgumentParser(prog="tests/load/compare", description=DESCRIPTION)
    parser.add_argument("--row", help="some rows, as a,a2,b", type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: within 15 minutes")
    parser.add_argument("--smoke", action="store_true", help="whether it works and every answer is right; no verdict")
    parser.add_argument("--json", action="store_true", help="one object a line on standard output")
    parser.add_argument("--binary", type=pathlib.Path,
                        help="a binary of Spanway in place of what tests/load/release builds")
    parser.add_argument("--log", type=pathlib.Path, default=report.LOG, help="where starts and figures are written")
    parser.add_argument("--pool", metavar="N,N,N", type=lambda text: [int(number) for number in text.split(",")],
                        help="measures nothing: judges these runs of the log together")
    parser.add_argument("--idle", choices=("poll", "halt"), default="poll",
                        help="what cores without work do; poll (the default) if they can")
    parser.add_argument("--shared-machine", action="store_true",
                        help="others work on this machine: a busy core voids no round; no evidence")
    asked = parser.parse_args()
    unknown = set(asked.row or []) - set(rows.ROWS)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; rows are {', '.join(rows.ROWS)}")
    return asked


def prepare(work, asked):
    machine.raise_limits()
    setup.packages()
    envoy = setup.envoy()
    spanway, load = setup.build(not asked.smoke, asked.binary)
    # What goes on here must not disturb the proxies.
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    certs = work / "certs"
    certs.mkdir()
    subprocess.run([load, "certs", certs], check=True)
    for file in certs.iterdir():
        file.chmod(0o644)
    # Where whom they run as can reach them.
    found = Setup(spanway=work / "spanway", load=work / "load", envoy=work / "envoy" if envoy else None, certs=certs,
                  judged=not asked.smoke, routes=rows.SMOKE_ROUTES if asked.smoke else rows.GENERAL["routes"])
    shutil.copy(spanway, found.spanway)
    shutil.copy(load, found.load)
    if envoy:
        shutil.copy(envoy, found.envoy)
    return found


def run(asked, work, printer, idle):
    kind = "smoke" if asked.smoke else "quick" if asked.quick else "full"
    found = prepare(work, asked)
    facts = {"kind": kind, "rows": asked.row or "all", "machine": machine.description(),
             "versions": setup.versions(found.envoy), "shared": asked.shared_machine,
             "idle": idle}
    printer.say(f"{kind} run, {facts['machine']}, idle cores {idle}, {facts['versions']}")
    log = report.Log(work / "log" if asked.smoke else asked.log, facts)
    context = Context(found, rows.size(kind, asked.shared_machine), printer, work)
    how = "aborted"
    try:
        names = asked.row or (rows.SMOKE if asked.smoke else rows.ROWS)
        with watched(context, found.load) as found.stalls:
            failed = run_rows(names, context, printer, log)
        how = "complete"
    finally:
        log.end(how)
    return 1 if failed else 0


def run_rows(names, context, printer, log):
    failed = False
    for name in names:
        began = time.monotonic()
        try:
            figures = rows.ROWS[name](context)
        except Wrong as wrong:
            figures = [Figure(name, "all", None, holds=False, unit="", note=f"wrong answers: {wrong}")]
        for figure in figures:
            printer.figure(figure)
            log.add(figure)
        failed |= any(figure.holds is False or figure.gate and figure.holds is None for figure in figures)
        printer.say(f"  {name} took {time.monotonic() - began:.0f} s")
    return failed


def pool(asked, printer):
    try:
        return 0 if together.report(asked.log, asked.pool, printer.say) else 1
    except machine.Failure as failure:
        printer.say(f"tests/load/compare: {failure}")
        return 2


def leave(number, _frame):
    """A signal ends what was started, too; a second one does not keep that from being done."""
    for one in ENDING:
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    asked = arguments()
    printer = report.Printer(asked.json)
    if asked.pool:
        return pool(asked, printer)
    for one in ENDING:
        signal.signal(one, leave)
    # In memory: what a disk's file system takes to make a file is not what is measured.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = pathlib.Path(tempfile.mkdtemp(prefix="spanway-compare-", dir=memory))
    work.chmod(0o755)
    try:
        with machine.awake(asked.idle == "poll") as idle:
            return run(asked, work, printer, idle)
    except machine.Failure as failure:
        printer.say(f"tests/load/compare: {failure}")
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)
