"""Real child processes that take and answer lines."""

import queue
import sys
from typing import TYPE_CHECKING

from tierbroker.base.child_process import ProcessChildren

if TYPE_CHECKING:
    from collections.abc import Callable

ECHO = (sys.executable, "-c", "import sys\nfor line in sys.stdin.buffer: print(len(line), flush=1)")
TIMEOUT_S = 30


class Posted:
    """The loop's part: calls in the order of their arrival."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self.children = ProcessChildren(self._calls.put)
        self.lines: list[bytes] = []
        self.ends: list[str] = []

    def run_one(self) -> None:
        self._calls.get(timeout=TIMEOUT_S)()

    @property
    def quiet(self) -> bool:
        return self._calls.empty()


def test_lines_are_answered_and_the_end_is_told() -> None:
    loop = Posted()
    child = loop.children.start(ECHO, loop.lines.append, loop.ends.append)
    child.send(b"x" * 1_000_000 + b"\n")
    child.send(b"\n")
    child.end()
    for _ in range(3):
        loop.run_one()
    assert loop.lines == [b"1000001\n", b"1\n"]
    assert loop.ends == ["ended with status 0"]


def test_a_killed_child_is_gone_and_says_nothing_more() -> None:
    loop = Posted()
    child = loop.children.start(ECHO, loop.lines.append, loop.ends.append)
    child.send(b"one\n")
    child.kill()
    while not loop.quiet:
        loop.run_one()
    assert not loop.ends
    child.kill()


def test_a_death_is_told() -> None:
    loop = Posted()
    suicide = (sys.executable, "-c", "import os\nos.kill(os.getpid(), 9)")
    child = loop.children.start(suicide, loop.lines.append, loop.ends.append)
    child.send(b"into the pipe\n")
    loop.run_one()
    assert loop.ends == ["was ended by signal 9"]


def test_a_program_that_is_not_there_is_told() -> None:
    loop = Posted()
    loop.children.start(("/no/such/program",), loop.lines.append, loop.ends.append)
    loop.run_one()
    assert loop.ends[0].startswith("cannot be started: ")
