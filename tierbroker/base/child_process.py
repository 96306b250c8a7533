"""Child processes that take lines and answer lines: for Python work that must not run here (D-11).

A child ends by itself when its input ends, is killed without ceremony, and its death is an event
like any other. Nothing here knows what the lines mean.
"""

import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

KILL_TIMEOUT_S = 5.0
"""How long a kill is waited for: a process in the middle of a read from a lost disk takes ages."""

OnLine = Callable[[bytes], None]
OnEnd = Callable[[str], None]


class Child(Protocol):
    """A running child, or one that has ended without anybody having been told yet."""

    def send(self, line: bytes) -> None:
        """Give it a line, its end included. Never waits."""

    def end(self) -> None:
        """No more lines: it ends once it has answered."""

    def kill(self) -> None:
        """End it now, and wait for that. Nothing more is heard of it."""


class Children(Protocol):
    """Starts children."""

    def start(self, arguments: Sequence[str], on_line: OnLine, on_end: OnEnd) -> Child:
        """Start one. On the loop thread, never within this call: `on_line` gets each line that it
        says; `on_end` is told once how it ended, in words, whether it could be started or not."""


class ProcessChildren:
    """Real processes. Threads wait for them, `post` (`loop.call_soon_threadsafe`) tells."""

    def __init__(self, post: Callable[[Callable[[], None]], object]) -> None:
        self._post = post

    def start(self, arguments: Sequence[str], on_line: OnLine, on_end: OnEnd) -> Child:
        """Start one; it shares the standard error of this process."""
        return _ProcessChild(arguments, on_line, on_end, self._post)


class _ProcessChild:
    """Two threads: one starts the process and reads, the other writes. A full pipe blocks both
    directions apart from each other, and the loop never."""

    def __init__(
        self,
        arguments: Sequence[str],
        on_line: OnLine,
        on_end: OnEnd,
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self._arguments = list(arguments)
        self._on_line = on_line
        self._on_end = on_end
        self._post = post
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._thread = threading.Thread(target=self._run, name="child", daemon=True)
        self._thread.start()

    def send(self, line: bytes) -> None:
        """Queue a line."""
        self._inbox.put(line)

    def end(self) -> None:
        """Close its input once what is queued is written."""
        self._inbox.put(None)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        with self._lock:
            self._killed = True
            if self._process is not None:
                self._process.kill()
        self._inbox.put(None)
        self._thread.join(KILL_TIMEOUT_S)

    def _run(self) -> None:
        try:
            with self._lock:
                if self._killed:
                    return
                self._process = process = subprocess.Popen(  # noqa: S603 - our own interpreter
                    self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
        except OSError as error:
            reason = f"cannot be started: {error}"
            self._tell(lambda: self._on_end(reason))
            return
        writer = threading.Thread(target=self._write, args=(process,), name="child-in", daemon=True)
        writer.start()
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._tell(lambda line=line: self._on_line(line))  # type: ignore[misc]
        status = process.wait()
        self._inbox.put(None)
        writer.join()
        words = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        self._tell(lambda: self._on_end(words))

    def _write(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                while (line := self._inbox.get()) is not None:
                    pipe.write(line)
                    pipe.flush()
        except BrokenPipeError:
            # It has ended; the reader tells how.
            return

    def _tell(self, call: Callable[[], None]) -> None:
        if not self._killed:
            self._post(lambda: None if self._killed else call())
