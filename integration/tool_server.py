"""JVMs that stay: each runs Kafka's command-line tools one after another, see java/ToolServer.java.

A tool costs 1 to 2 s of processor time when it starts a JVM of its own, and a tenth of that here.
"""

import atexit
import os
import selectors
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

_END, _STDOUT, _STDERR = 0, 1, 2
_READ_BYTES = 1 << 18
_FRAME = struct.Struct(">BI")


class ToolTimeoutError(AssertionError):
    """A tool took too long; the JVM that ran it is gone."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class ToolServer:
    """One JVM. Not for two threads at a time: `ToolServers` lends it."""

    def __init__(self, command: Sequence[str]) -> None:
        # What the JVM itself complains of. It ends with its standard input, so with the tests.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, bufsize=0
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._received = bytearray()

    def run(self, main_class: str, args: Sequence[str], stdin: bytes, timeout_s: float) -> Ended:
        """Run a tool to its end.

        Raises ToolTimeoutError, and AssertionError when the JVM ended; it is of no use afterwards.
        """
        words = [word.encode() for word in (main_class, *args)]
        request = struct.pack(">I", len(words))
        request += b"".join(struct.pack(">I", len(word)) + word for word in [*words, stdin])
        view = memoryview(request)
        while view:
            view = view[os.write(self._process.stdin.fileno(), view) :]
        written = {_STDOUT: bytearray(), _STDERR: bytearray()}
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                kind, size = _FRAME.unpack(self._take(_FRAME.size, deadline))
                data = self._take(size, deadline)
            except ToolTimeoutError:
                raise ToolTimeoutError(
                    f"not at its end within {timeout_s} s\n{bytes(written[_STDOUT][-4000:])!r}\n"
                    f"{bytes(written[_STDERR][-4000:])!r}"
                ) from None
            if kind == _END:
                (code,) = struct.unpack(">i", data)
                return Ended(code, bytes(written[_STDOUT]), bytes(written[_STDERR]))
            written[kind] += data

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            pipe.close()

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise ToolTimeoutError
            data = os.read(self._process.stdout.fileno(), _READ_BYTES)
            if not data:
                self._log.seek(0)
                raise AssertionError(f"the JVM ended\n{self._log.read()[-4000:]!r}")
            self._received += data
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


class ToolServers:
    """Lends JVMs, and starts one when all are lent: as many as threads ask at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._idle: list[ToolServer] = []
        self._lock = threading.Lock()
        atexit.register(self.close)

    def run(self, main_class: str, args: Sequence[str], stdin: bytes, timeout_s: float) -> Ended:
        """See ToolServer.run; a JVM that did not end its tool is thrown away."""
        with self._lock:
            server = self._idle.pop() if self._idle else None
        server = server or ToolServer(self._command)
        try:
            ended = server.run(main_class, args, stdin, timeout_s)
        except BaseException:
            server.close()
            raise
        with self._lock:
            self._idle.append(server)
        return ended

    def close(self) -> None:
        with self._lock:
            for server in self._idle:
                server.close()
            self._idle.clear()
