"""What is measured: a broker process, started, measured from outside and stopped.

A row of the table knows only the `System` protocol, so that another broker can be put beside
this one and every repetition be taken from each in turn.
"""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Protocol

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class Durability(Enum):
    """What an acks=all answer promises."""

    REPLICATED = "replicated"
    """In the memory of the in-sync replicas: Kafka's own rule."""
    FSYNC = "fsync"
    """On disk; for Kafka `flush.messages=1`."""


class System(Protocol):
    """One broker that can be measured."""

    name: str
    bootstrap: str
    """ "host:port", while it runs."""
    pid: int
    """The process whose CPU time and memory count, while it runs."""

    def start(self, durability: Durability) -> None:
        """Start on an empty data directory; returns once clients can connect."""

    def prepare(self, port: int) -> None:
        """All that a user does once before the first start on an empty directory and a given
        port, with the settings that a user gets."""

    def spawn(self) -> None:
        """Begin to start what was prepared; returns at once. `pid` and `bootstrap` are set, but
        nobody listens yet."""

    def restart(self) -> tuple[float, float]:
        """Stop in an orderly way and start on the same data: seconds until the process has ended,
        and from then until clients can connect."""

    def stop(self) -> None:
        """Stop for good; `remove_data` removes what it leaves."""


class Tierbroker:
    """The installed command `tierbroker dev`.

    With `source`, the package in that directory instead: an earlier version, to be compared with.
    With `launcher`, started through that program.
    """

    def __init__(self, source: Path | None = None, launcher: tuple[str, ...] = ()) -> None:
        self.name = "tierbroker" if source is None else source.name
        self._command = launcher or (str(Path(sys.executable).parent / "tierbroker"),)
        self._environment = installed_environment()
        if source is not None:
            self._environment["PYTHONPATH"] = str(source.resolve())
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._arguments: tuple[str, ...] = ()
        self._further: tuple[str, ...] = ()
        self.bootstrap = ""
        self.pid = -1

    def variant(self, *arguments: str) -> "Tierbroker":
        """The same program, started with further arguments."""
        other = copy.copy(self)
        other._further = arguments
        return other

    @property
    def data(self) -> Path:
        """The data directory, from the first start on."""
        assert self._directory is not None
        return self._directory / "data"

    def start(self, durability: Durability) -> None:
        """Start and wait for the ready file."""
        self._directory = new_directory()
        flush = ("--set", f"flush.mode={durability.value}")
        self._arguments = ("--port", "0", *flush, *self._further)
        self._start()

    def prepare(self, port: int) -> None:
        """There is nothing to do before a start."""
        self._directory = new_directory()
        self._arguments = ("--port", str(port))
        self.bootstrap = f"127.0.0.1:{port}"

    def spawn(self) -> None:
        """Start and do not wait."""
        self._run()

    def restart(self, between: Callable[[], object] | None = None) -> tuple[float, float]:
        """SIGTERM, wait, do what is to be done `between`, and start again."""
        started = time.perf_counter()
        self._end()
        ended = time.perf_counter()
        if between is not None:
            between()
        starts = time.perf_counter()
        self._start()
        return ended - started, time.perf_counter() - starts

    def stop(self) -> None:
        """SIGTERM, then wait."""
        self._end()
        if self._directory is not None:
            remove_later(self._directory)
            self._directory = None

    def _start(self) -> None:
        assert self._directory is not None
        ready = self._directory / "ready.json"
        ready.unlink(missing_ok=True)
        self._run("--ready-file", str(ready))
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self._directory / "log").read_text(errors="replace")[-4000:]
                raise RuntimeError(f"{self.name} did not start:\n{said}")
            time.sleep(0.01)
        self.bootstrap = json.loads(ready.read_text())["bootstrap"]

    def _end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def _run(self, *arguments: str) -> None:
        assert self._directory is not None
        data = str(self.data)
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, "dev", "--data", data, *self._arguments, *arguments],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        self.pid = self._process.pid


def new_directory() -> Path:
    """An empty directory for a broker."""
    return Path(tempfile.mkdtemp(prefix="bench-", dir=data_root()))


_left: list[Path] = []


def remove_later(directory: Path) -> None:
    """Keep a directory until `remove_data`. For seconds after many files were removed, ext4 looks
    at each of their inodes whenever a file is made, and the next broker would pay for that: a
    thousand partitions then take four seconds instead of half a second."""
    _left.append(directory)


def remove_data() -> None:
    """Remove what the stopped brokers left."""
    while _left:
        shutil.rmtree(_left.pop())


def data_root() -> str:
    """Where brokers keep their data: on a disk, not in memory."""
    return os.environ.get("BENCH_DIR", "/var/tmp")


def installed_environment() -> dict[str, str]:
    """This environment, with compiled modules as pip leaves them, whatever this shell forbids."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = f"{data_root()}/bench-pycache"
    return environment
