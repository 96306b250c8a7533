"""Row recovery: a log that must be read again after a crash."""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from bench.restart import fill, log_at
from bench.row import Figure
from bench.system import System, Tierbroker, new_directory

SIZE_BYTES = 512 << 20
GIB = 1 << 30
READ_BYTES = 1 << 20


class Recovery:
    """One log of 512 MiB in batches of 16 KiB, none of it below its recovery point.

    Resource: the disk's sequential read, or the core that checks what was read. Physical limit:
    reading the file from its beginning to its end. The file is put out of memory before each of
    the two; where the machine below has it in its own memory, the disk is faster than a disk.
    """

    name = "recovery"
    title = "recovery of one log"
    figures = (
        Figure("recovery", "s/GiB"),
        Figure("CPU", "CPU-s/GiB"),
        Figure("to reading the file", "×"),
        Figure("in memory: recovery", "s/GiB"),
        Figure("in memory: to reading the file", "×"),
    )
    repetitions = 3
    durability = None

    def prepare(self, system: System) -> None:
        """Nothing is warm after a crash."""

    def measure(self, system: System) -> Mapping[str, float]:
        if not isinstance(system, Tierbroker):
            return {}
        root = new_directory()
        directory = root / "large-0"
        try:
            log = log_at(directory)
            fill(log, SIZE_BYTES)
            log.flush()
            path = Path(log.segments.active.handle.path)
            log.close(clean=False)
            read_s = _read(path, forget=True)
            recovery_s, cpu = _recover(directory, path, forget=True)
            memory_read_s = _read(path)
            memory_s, _ = _recover(directory, path)
        finally:
            shutil.rmtree(root)
        per_gib = GIB / SIZE_BYTES
        return {
            "recovery": recovery_s * per_gib,
            "CPU": cpu * per_gib,
            "to reading the file": recovery_s / read_s,
            "in memory: recovery": memory_s * per_gib,
            "in memory: to reading the file": memory_s / memory_read_s,
        }

    def floor(self) -> Mapping[str, float]:
        return {}


def _read(path: Path, *, forget: bool = False) -> float:
    """Seconds to read the file."""
    if forget:
        _forget(path)
    buffer = memoryview(bytearray(READ_BYTES))
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - began


def _recover(directory: Path, path: Path, *, forget: bool = False) -> tuple[float, float]:
    """(seconds, CPU seconds) to open the log."""
    if forget:
        _forget(path)
    cpu = time.process_time()
    began = time.perf_counter()
    log = log_at(directory)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert log.size_bytes >= SIZE_BYTES
    log.close(clean=False)
    return seconds, cpu


def _forget(path: Path) -> None:
    """Drop the file from the page cache."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
