"""Cores, processes and ports of the machine that the comparison runs on."""
import concurrent.futures
import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time

PROXY_CORE = 0
LOAD_CORE = 1
# What is started so runs only while nobody else wants the core.
LAST = ("chrt", "--idle", "0")
# Whom the proxies run as: nobody, without a capability.
NOBODY = 65534
# What a core does that may not take any time to wake up.
IDLE_STATE = "/sys/devices/system/cpu/cpu0/cpuidle/state0/name"
# Of one process: the row with the most connections opens 10,000 from one side.
FILES = 12_000
# A proxy that starts in callgrind takes a while.
PATIENCE_SECONDS = 180
# A proxy that runs in callgrind writes its counts before it ends.
END_SECONDS = 40


class Failure(Exception):
    """Ends the run; says why in words."""


def raise_limits():
    """As many files as may be: what is started here inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < FILES:
        raise Failure(f"{FILES} open files are needed, ulimit -Hn says {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connections_max():
    """The limit of connections of all peers: ours, or what files allow where that is less; haproxy
    wants two for each connection and some for pipes, and refuses to start without."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(50_000, (hard - 2000) // 2)


@contextlib.contextmanager
def awake(wanted=True):
    """While it lasts, cores without work poll for it, if they can; says what they do, "poll" or "halt".

    In a virtual machine a core that halts is woken by the hypervisor, and whoever sends to a process
    there pays for that: half of what a small request costs, whatever the proxy. On a machine of its
    own a core at rest watches a word of memory, and a wake-up is a write to it."""
    file = hold_awake() if wanted else None
    if file is None:
        yield "halt"
        return
    # The kernel keeps to what was written as long as the file is open.
    with file:
        yield "poll"


def hold_awake():
    """What keeps cores from halting while it is open, or nothing where this machine or its policy has none."""
    state = pathlib.Path(IDLE_STATE)
    if not (state.exists() and state.read_text().strip() == "POLL"):
        return None
    try:
        file = open("/dev/cpu_dma_latency", "wb", buffering=0)
        file.write(bytes(4))
    except OSError:
        return None
    return file


class Beside:
    """What goes on in a thread of its own until the block ends: `go_on`, which looks at `over`. What goes wrong in it
    goes wrong for the block."""

    def __init__(self):
        self.over = threading.Event()

    def __enter__(self):
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        self.done = self.thread.submit(self.go_on)
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.shutdown()
        self.done.result()


def listening():
    """Ports that anybody listens on."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def refuse_taken(ports):
    taken = sorted(set(ports) & listening())
    if taken:
        raise Failure(f"port {taken[0]} is taken: what listens there would be measured")


def until(condition, what, seconds=PATIENCE_SECONDS):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


class Processes:
    """What was started; all of it ends with the block."""

    def __init__(self, work):
        self.work = work
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def spawn(self, name, command, core, nobody=True, stdout=None, env=None):
        prefix = ["taskset", "-c", str(core), "setpriv", "--pdeathsig", "TERM"]
        if nobody and os.geteuid() == 0:
            prefix += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
                       "--bounding-set=-all", "--inh-caps=-all"]
        errors = open(self.work / f"{name}.err", "ab")
        process = subprocess.Popen(
            [*prefix, *map(str, command)], stdin=subprocess.DEVNULL, stderr=errors,
            stdout=stdout if stdout is not None else errors, start_new_session=True,
            env={**os.environ, **env} if env else None)
        errors.close()
        process.label = name
        self.running.append(process)
        return process

    def check(self):
        """Nobody may have ended by itself."""
        for process in self.running:
            if process.poll() is not None:
                text = (self.work / f"{process.label}.err").read_text(errors="replace")
                raise Failure(f"{process.label} ended with {process.returncode}: {text[-1500:]}")

    def end(self, process=None):
        """Asks first: who is killed leaves its children behind."""
        ending = [process] if process else list(self.running)
        deadline = time.monotonic() + END_SECONDS
        # Ours leaves in order, which takes its time; a second signal ends it at once.
        while any(one.poll() is None for one in ending) and time.monotonic() < deadline:
            for one in ending:
                if one.poll() is None:
                    one.terminate()
            wait_for(ending, 0.5)
        for one in ending:
            if one.poll() is None:
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
            self.running.remove(one)


def wait_for(processes, seconds):
    """Until they have ended, at most so long."""
    end = time.monotonic() + seconds
    while any(one.poll() is None for one in processes) and time.monotonic() < end:
        time.sleep(0.005)


def family(pid):
    """A process and its children."""
    pids = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            pids += family(int(child))
    return pids


def threads(pids):
    """CPU ns by thread of these processes."""
    spent = {}
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                spent[task] = int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                continue  # it ended while we looked
    return spent


def cpu(pids):
    """CPU ns of all threads that these processes have now."""
    return sum(threads(pids).values())


def cpu_during(pids, seconds):
    """CPU ns of the next seconds; a thread that ends in them is left out."""
    before = threads(pids)
    time.sleep(seconds)
    return sum(spent - before.get(thread, 0) for thread, spent in threads(pids).items())


def settle(pids, what):
    """Until they do next to nothing: what follows a start is no part of a request."""
    until(lambda: cpu_during(pids, 0.4) < 12_000_000,  # 3 % of a core
          f"{what} comes to rest", 120)


def pss(pids):
    """Proportional memory in KB."""
    text = "".join(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def pss_at_rest(pids, what):
    """The same once it stays as it is: what is free goes back to the system within some seconds."""
    settle(pids, what)
    seen = [pss(pids)]

    def stays():
        time.sleep(1)
        seen.append(pss(pids))
        return abs(seen[-1] - seen[-2]) <= seen[-2] / 500
    until(stays, f"the memory of {what} comes to rest", 60)
    return seen[-1]


def description():
    """The machine, in one line."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{len(models)} × {models[0]}, Linux {os.uname().release}"
