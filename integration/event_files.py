"""Programs that tell what they do, one JSON line an event, and the files where it is kept."""

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from integration.broker_processes import end_with_the_tests

Event = dict[str, Any]


class TellingProcess:
    """A client program whose standard output is a file of events."""

    def __init__(self, name: str, command: Sequence[str], file: Path) -> None:
        self.name = name
        self._file = file
        self._errors = file.with_suffix(".err")
        self._read_to = 0
        with file.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                preexec_fn=end_with_the_tests,  # noqa: PLW1509 - a system call, no lock is taken
            )

    def new_events(self) -> list[Event]:
        """What was told since the last call: the whole lines that are JSON objects."""
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def check_alive(self) -> None:
        """AssertionError with what it wrote when the program gave up."""
        assert self.running, f"{self.name} gave up: {self.errors()}"

    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return self._errors.read_text()[-3000:]

    def terminate(self) -> None:
        """Ask it to end in order."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Its exit code; AssertionError when it lingers."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} did not end in {timeout_s} s: {self.errors()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.wait()
