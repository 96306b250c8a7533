"""Under what conditions a run was taken: what a figure means nothing without."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.system import System, Tierbroker, data_root
from tierbroker.server.acceptor import UNPACED

_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def conditions(systems: Sequence[System]) -> dict[str, str]:
    """By name, in the order of reading."""
    host = _CONGESTION.read_text().strip() if _CONGESTION.exists() else "unknown"
    told = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} cores, {_processor()}, Linux {platform.release()}",
        "load before": _load(),
        "disk": data_root(),
        "client": f"confluent-kafka {version('confluent-kafka')}, CPython {_python()}",
    }
    for system in systems:
        ours = isinstance(system, Tierbroker)
        told[system.name] = (
            f"CPython {_python()}, uvloop {version('uvloop')}; "
            f"{UNPACED.decode()} towards loopback; flush.mode=replicated, fsync in row 5"
            if ours
            else f"{_java()}, heap 1 GiB, G1; {host} (the host's default) towards loopback; "
            "flush.messages default, 1 in row 5"
        )
    return told


def after(told: dict[str, str], seconds: float) -> dict[str, str]:
    """The same, with what only the end knows."""
    return {**told, "load after": _load(), "taken in": f"{seconds:.0f} s"}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _python() -> str:
    return platform.python_version()


def _java() -> str:
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    return said.splitlines()[0].replace('"', "").removesuffix(" version")


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}"
