"""`make run`, and everything that it prints, as somebody would paste it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.broker_processes import free_port, wait_until

ROOT = Path(__file__).resolve().parents[1]


class MakeRun:
    """`make run` in a process group of its own."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self._output = directory / "output"
        self.port = free_port()
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", "run", f"DATA={self.data}", f"PORT={self.port}"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def printed(self) -> str:
        return self._output.read_text()

    def wait_ready(self) -> str:
        """What it has printed once clients can connect."""

        def ready() -> bool:
            assert self.process.poll() is None, self.printed()
            return "Or in Python" in self.printed() and self.printed().endswith("\n")

        wait_until(ready, "banner of make run", 120)
        return self.printed()

    def interrupt(self) -> int:
        """Ctrl-C: the whole group gets the signal. Returns the exit code of make."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(120)


@pytest.fixture
def make_run(tmp_path: Path) -> Iterator[MakeRun]:
    run = MakeRun(tmp_path)
    yield run
    run.interrupt()


def run_pasted(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_everything_it_prints_can_be_pasted(make_run: MakeRun, tmp_path: Path) -> None:
    banner = make_run.wait_ready()
    assert f"127.0.0.1:{make_run.port}" in banner
    assert str(make_run.data) in banner
    assert "fsync" in banner
    commands = re.findall(r"^ +(\S*tierbroker (?:produce|consume) .*)$", banner, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["produce", "consume"]
    run_pasted(["sh", "-c", commands[0]])
    assert run_pasted(["sh", "-c", commands[1]]) == "first message\n"
    snippet = banner.partition("Or in Python")[2].partition("\n")[2].strip("\n").splitlines()
    script = tmp_path / "snippet.py"
    script.write_text("\n".join(line.strip() for line in snippet) + "\n")
    run_pasted([sys.executable, str(script)])
    assert run_pasted(["sh", "-c", commands[1]]) == "first message\nfrom Python\n"
    make_run.interrupt()
    assert (make_run.data / ".kafka_cleanshutdown").exists()
