"""Brokers as processes of their own: started, stopped and killed by their process id.

Both kinds have one shape, so that a test does not know which of them it talks to: `bootstrap`,
`port`, `data_dir`, `start()`, `stop()`, `kill()`, `log_text()`.
"""

import ctypes
import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 90.0

# Below those that a system gives to connections and to servers that do not ask for one.
_PORTS = range(15_000, 32_000)
_claims: list[socket.socket] = []
"""One for each port that was handed out: its name is this process's until it ends."""


class BrokerProcess(Protocol):
    """A broker under test."""

    data_dir: Path
    port: int

    @property
    def bootstrap(self) -> str: ...

    def start(self) -> None:
        """Return once clients can connect. The port stays the same over restarts."""

    def stop(self) -> None:
        """SIGTERM, and wait for the end. Raises AssertionError when it ended badly or too late."""

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""

    def log_text(self) -> str:
        """All that the broker wrote to standard output and error so far."""


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def end_with_the_tests() -> None:
    """Runs in a child before its program: it ends with the tests, however they end."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port of the loopback address for a server that begins to listen later, or again.

    Meanwhile nobody else gets it: no test of whatever thread or process, nor from the system.
    """
    while True:
        port = random.choice(_PORTS)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0tierbroker-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        _claims.append(claim)
        return port


def wait_until(condition, what: str, timeout_s: float, process: "Process | None" = None) -> None:
    """Poll `condition`; AssertionError naming `what` when it stays false or the process ends."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if process is not None and not process.running:
            raise AssertionError(f"the broker ended before {what}\n{process.log_text()[-6000:]}")
        if time.monotonic() > deadline:
            log = process.log_text()[-6000:] if process is not None else ""
            raise AssertionError(f"no {what} within {timeout_s} s\n{log}")
        time.sleep(0.02)


class Process:
    """One operating system process with its output in a file."""

    def __init__(self, log_path: Path) -> None:
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        assert not self.running, "started twice"
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                preexec_fn=end_with_the_tests,  # noqa: PLW1509 - a system call, no lock is taken
            )

    def end(self, signal_number: int, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Send the signal and return the exit code. AssertionError when the process lingers."""
        process = self._process
        assert process is not None
        process.send_signal(signal_number)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(
                f"still running {timeout_s} s after {signal.Signals(signal_number).name}\n"
                f"{self.log_text()[-6000:]}"
            ) from None

    def log_text(self) -> str:
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""


class Tierbroker:
    """`tierbroker dev`, the way a user starts it."""

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.data_dir = directory / "data"
        self.port = port or free_port()
        self._ready_file = directory / "ready.json"
        self._settings = dict(settings or {})
        self._process = Process(directory / "broker.log")

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        program = Path(sys.executable).with_name("tierbroker")
        command = [str(program), "dev", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--data", str(self.data_dir), "--ready-file", str(self._ready_file)]
        for key, value in self._settings.items():
            command += ["--set", f"{key}={value}"]
        self._process.launch(command)
        wait_until(self._ready, "ready file", START_TIMEOUT_S, self._process)
        ready = json.loads(self._ready_file.read_text())
        assert ready["pid"] == self._process.pid, ready
        assert int(ready["bootstrap"].rpartition(":")[2]) == self.port, ready

    def stop(self) -> None:
        code = self._process.end(signal.SIGTERM)
        assert code in (0, -signal.SIGTERM), f"exit code {code}\n{self.log_text()[-6000:]}"

    def kill(self) -> None:
        self._process.end(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._process.running

    def log_text(self) -> str:
        return self._process.log_text()

    def _ready(self) -> bool:
        return self._ready_file.exists() and self._ready_file.read_text().rstrip().endswith("}")
