"""Takes new connections from one listening socket, as long as there is room for them.

Without room (connections, descriptors) accepting pauses: clients wait in the kernel's queue and
are taken by themselves later. Must never close a connection that it has handed over.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from tierbroker.server.rate_limited_log import RateLimitedLog

logger = logging.getLogger(__name__)

ACCEPTS_PER_TURN = 32
UNPACED = b"reno"
"""A congestion control without timers, which every Linux has and lets everybody take."""
RETRY_S = 0.1
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts on one listener. `room` says why there is none, or nothing; `taken` gets sockets."""

    def __init__(
        self,
        listener: socket.socket,
        name: str,
        loop: asyncio.AbstractEventLoop,
        room: Callable[[], str | None],
        taken: Callable[[socket.socket, tuple[str, int], str], None],
        log: RateLimitedLog,
    ) -> None:
        self.name = name
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self.fileno = listener.fileno()
        self._loop = loop
        self._room = room
        self._taken = taken
        self._log = log
        self._accepting = False
        self._said_why = False
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept, from the next turn on."""
        self._accepting = True
        self._loop.add_reader(self.fileno, self._on_readable)

    def resume(self) -> None:
        """There may be room again."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
            self.start()

    def close(self) -> None:
        """Stop listening. What waits in the kernel's queue is reset."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self.fileno)
        self._listener.close()

    def _on_readable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            reason = self._room()
            if reason is not None:
                self._pause(reason)
                return
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._pause(str(error))
                    return
                continue  # this one failed before it was taken (accept(2)); the next may not
            self._said_why = False
            connection.setblocking(False)
            host, port = str(address[0]), int(address[1])
            if is_loopback(host):
                take_unpaced(connection)
            self._taken(connection, (host, port), self.name)
            if not self._accepting:
                return

    def _pause(self, reason: str) -> None:
        if not self._said_why:
            self._said_why = True
            self._log.warning(logger, "accepting on listener %s pauses: %s", self.name, reason)
        self._accepting = False
        self._loop.remove_reader(self.fileno)
        self._retry = self._loop.call_later(RETRY_S, self.resume)


def is_loopback(host: str) -> bool:
    """Whether the client is on this machine, reached without a network."""
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def take_unpaced(connection: socket.socket) -> None:
    """Send without pacing. Where bbr is the default, its timers cost a fetch more than the bytes
    do, and on loopback there is no path whose queues they could spare."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, UNPACED)
    except OSError:
        return  # not allowed in this sandbox: sending merely costs more
