"""How long cores stood still: a hypervisor had them, and even what comes first on them waited. What it reports as
stolen is a part of it, in steps of 10 ms."""
import contextlib
import os
import subprocess
import time

from .machine import LOAD_CORE, PROXY_CORE, Processes

CORES = (PROXY_CORE, LOAD_CORE)
# Before all that has a share of the core's time.
FIRST = ("chrt", "--fifo", "50")


class Stalls:
    """Listens to one who looks at the clock a thousand times a second on each core."""

    def __init__(self, processes, load):
        self.processes = processes
        self.pipes = [self.listen(processes, load, core) for core in CORES]
        self.since = time.monotonic()

    @staticmethod
    def listen(processes, load, core):
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        processes.spawn(f"stalls-{core}", [*FIRST, load, "stalls"], core, nobody=False, stdout=writer)
        os.close(writer)
        return open(reader, "rb")

    def part(self):
        """Of the time since the last call, of all cores."""
        # Of one who has ended nothing would be heard, as of cores that run.
        self.processes.check()
        now, before = time.monotonic(), self.since
        self.since = now
        late = sum(int(line) for pipe in self.pipes for line in (pipe.read() or b"").split())
        return late / 1e6 / (now - before) / len(CORES)


@contextlib.contextmanager
def watched(context, load):
    """Stalls while the block lasts, or nothing where this user may not come first."""
    if subprocess.run([*FIRST, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        context.say("no right to come first on a core: the hypervisor's own word tells when it had one")
        yield None
        return
    with Processes(context.folder("stalls")) as processes:
        yield Stalls(processes, load)
