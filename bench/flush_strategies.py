"""What a flush of n dirty log files costs: file by file, on threads, and by one syncfs.

Resource: the disk's flush command and the file system's journal commits. Limit: one device flush
for each journal commit, which is what a single fdatasync of a grown file costs; no strategy can
be faster than that for one file. Ratios of one run are comparable, absolute times are not: the
ways are interleaved, so that whatever else the machine does hits all of them.

    python bench/flush_strategies.py --dir /var/tmp --files 1,2,4,8,16,32,100 --rounds 20
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tierbroker.base.clock import SystemClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.hot.flush import FlushStrategy, FlushTarget, GroupFlusher
from tierbroker.hot.flush_strategy import AdaptiveFlush, PerFileFlush, SyncfsFlush

BATCH = os.urandom(16 * 1024)


class BenchLog:
    """A file that grows by one batch before each flush, as a partition's active segment does."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.dir = str(directory)
        self.fd = os.open(directory / "00000000000000000000.log", os.O_RDWR | os.O_CREAT)
        self.end = 0

    def append(self) -> None:
        """Write one batch of 16 KiB."""
        os.pwrite(self.fd, BATCH, self.end)
        self.end += len(BATCH)

    def dirty_files(self) -> FlushTarget:
        """The one file."""
        return FlushTarget(self, (self.fd,), (), self.end)

    def mark_flushed(self, offset: int) -> None:
        """Nothing waits for it here."""


class NoFlush:
    """A strategy that does nothing: leaves the cost of the group commit itself."""

    def flush(self, targets: object) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def measure(root: Path, files: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of one flush of `files` dirty files, by strategy."""
    fs = OsFileSystem()
    directories = [str(root)]
    strategies: dict[str, FlushStrategy] = {
        "file": PerFileFlush(fs),
        "file x16": PerFileFlush(fs, threads=16),
        "syncfs": SyncfsFlush(fs, directories),
        "auto": AdaptiveFlush(fs, directories, SystemClock()),
    }
    logs = [BenchLog(root / f"topic-{n}") for n in range(files)]
    times: dict[str, list[float]] = {name: [] for name in strategies}
    for _ in range(rounds):
        for name, strategy in strategies.items():
            for log in logs:
                log.append()
            targets = [log.dirty_files() for log in logs]
            times[name].append(_milliseconds(lambda s=strategy, t=targets: s.flush(t)))  # type: ignore[misc]
    for strategy in strategies.values():
        strategy.close()
    for log in logs:
        os.close(log.fd)
        shutil.rmtree(log.dir)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_request(root: Path, requests: int = 200_000) -> float:
    """Microseconds on the loop thread for a request that joins a waiting group."""
    log = BenchLog(root / "request-0")
    flusher = GroupFlusher(NoFlush(), InlineExecutor(), lambda *_: None, defer=lambda _: None)
    flusher.request(log)
    started = time.perf_counter()
    for _ in range(requests):
        flusher.request(log, _answer)
    elapsed = time.perf_counter() - started
    os.close(log.fd)
    return elapsed / requests * 1e6


def _answer(error: OSError | None) -> None:
    """What a waiting produce request would do."""


def _milliseconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print one line per number of dirty files, and the cost of a request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="on the disk to measure")
    parser.add_argument("--files", default="1,2,4,8,16,32,100", help="numbers of dirty files")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="flush-bench-", dir=arguments.dir))
    try:
        print(f"{'files':>6} {'file':>9} {'file x16':>9} {'syncfs':>9} {'auto':>9}   ms, median")
        for files in map(int, arguments.files.split(",")):
            row = measure(root, files, arguments.rounds)
            print(f"{files:>6} " + " ".join(f"{value:9.2f}" for value in row.values()))
        print(f"request that joins a group: {measure_request(root):.2f} us on the loop thread")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
