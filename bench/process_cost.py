"""CPU time and memory of another process, as the kernel counts them."""

import time
from collections.abc import Callable
from pathlib import Path

_PROCESS_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel: time on a core, in nanoseconds (clock_getcpuclockid(3))."""


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have used, those that ended included."""
    return time.clock_gettime((~pid << 3) | _PROCESS_CPU_CLOCK)


def cpu_of(pid: int, work: Callable[[], object]) -> float:
    """CPU seconds that a process uses while `work` runs here."""
    before = cpu_seconds(pid)
    work()
    return cpu_seconds(pid) - before


def resident_mb(pid: int, *, highest: bool = False) -> float:
    """Resident memory of a process, in 10^6 bytes: now, or the most there was since its start."""
    field = "VmHWM:" if highest else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"process {pid} has no memory")
