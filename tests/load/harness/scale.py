"""What size and change cost: the program `growth`, and requests to 100,000 hosts beside 10."""
import argparse
import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from . import machine, report, setup, spanway
from .load import Told, Wrong, measure
from .main import ENDING, leave
from .machine import LOAD_CORE, PROXY_CORE, Failure, Processes, family, refuse_taken, until
from .verdict import of_ratios

UPSTREAM = ("127.0.1.1", 18390)
# Of a gateway: its one listener, and from here on what else it binds.
BASES = {"few": 18400, "many": 18450}
LISTENER = 10
FILES = 100
FEW = 10
# The rate of row a of the comparison, which no machine that it runs on is at its end with.
RATE = 4000
ROUNDS, SMOKE_ROUNDS = 15, 1
MANY, SMOKE_MANY = 100_000, 1000


@dataclasses.dataclass
class Gateway:
    """A gateway that runs."""
    name: str
    process: subprocess.Popen
    plain: int

    def pids(self):
        return family(self.process.pid)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/load/scale", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a small size, to see that it works; no verdict")
    parser.add_argument("--json", action="store_true", help="one object a line on standard output")
    return parser.parse_args()


def growth(asked, folder):
    """Runs the program and passes on what it says. Says whether its gates hold."""
    flags = [flag for flag in ("--smoke", "--json") if getattr(asked, flag[2:])]
    done = subprocess.run(["taskset", "-c", str(PROXY_CORE), folder / "growth", *flags])
    if done.returncode not in (0, 1):
        raise Failure(f"growth ended with {done.returncode}")
    return done.returncode == 0


def record(port):
    """The container port of the Gateway: no controller runs beside it that would allot one."""
    value = json.dumps({"uid": "web", "port": 80, "transport": "TCP", "name": "bench/web"})
    return f"""apiVersion: v1
kind: ConfigMap
metadata: {{name: ports, namespace: spanway-system, labels: {{spanway.dev/port-record: "true"}}}}
data: {{"{port}": '{value}'}}
"""


GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: bench, uid: web}
spec: {gatewayClassName: spanway, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""


def start(processes, binary, name, routes):
    base, folder = BASES[name], processes.work / name
    files = {"base.yaml": [spanway.CLASS, GATEWAY, record(base + LISTENER), spanway.service("web"),
                           spanway.slices("web", [UPSTREAM])]}
    for part in range(FILES):
        numbers = range(part, routes, FILES)
        files |= {f"routes-{part:03}.yaml": [
            spanway.route(f"r{number:04}", f"h{number:04}.bench.example", "web") for number in numbers]} if numbers else {}
    spanway.write(folder, files)
    # The controller would write the status of every route into a file of its own.
    process = spanway.start(processes, binary, folder, name, base, role="gateway")
    gateway = Gateway(name, process, base + LISTENER)

    def answers():
        processes.check()
        return spanway.reaches(gateway.plain, f"h{routes - 1:04}.bench.example")
    until(answers, f"the gateway with {routes} routes answers")
    return gateway


def requests(asked, work, binary, load, printer):
    """CPU for each request with many hosts beside few, in the same rounds."""
    counts = {"few": FEW, "many": SMOKE_MANY if asked.smoke else MANY}
    refuse_taken([UPSTREAM[1], *(base + LISTENER for base in BASES.values())])
    with Processes(work) as processes:
        command = [load, "upstream", "--listen", f"{UPSTREAM[0]}:{UPSTREAM[1]}"]
        processes.spawn("upstream", command, LOAD_CORE, nobody=False)
        running = {name: start(processes, binary, name, count) for name, count in counts.items()}
        ratios = []
        for number in range(SMOKE_ROUNDS if asked.smoke else ROUNDS):
            order = list(running) if number % 2 == 0 else list(reversed(running))
            took = {}
            for name in order:
                told = Told(load=load, routes=counts[name], judged=not asked.smoke)
                took[name] = measure(told, running[name], rate=RATE).per_request
            ratios.append(took["many"] / took["few"])
    figure = of_ratios("routes.request", "own 10 routes", ratios, gate=1.05)
    printer.figure(figure)
    return figure.holds is True or asked.smoke


def main():
    asked = arguments()
    for number in ENDING:
        signal.signal(number, leave)
    printer = report.Printer(asked.json)
    with tempfile.TemporaryDirectory(prefix="spanway-scale-") as folder:
        work = pathlib.Path(folder)
        work.chmod(0o755)
        try:
            machine.raise_limits()
            spanway_, load = setup.build(not asked.smoke)
            binary = pathlib.Path(shutil.copy(spanway_, work / "spanway"))
            held = growth(asked, load.parent)
            held &= requests(asked, work, binary, load, printer)
        except (Failure, Wrong) as failure:
            print(failure, file=sys.stderr)
            return 1
    return 0 if held or asked.smoke else 1
