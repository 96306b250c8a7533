"""The HTTP endpoint of a broker: health, metrics, and what the command line asks of it.

A small server on the broker's own loop that costs nothing until somebody connects: the parser is
imported then, on a worker. Routes come from `node`. Must never know what they answer.
"""

import asyncio
import errno
import logging
import socket
from types import ModuleType
from typing import TYPE_CHECKING

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ListenError
from tierbroker.base.executor import Executor, Outcome
from tierbroker.server.acceptor import Acceptor, is_loopback
from tierbroker.server.descriptors import descriptors_left, raise_descriptor_limit
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.listener import open_listener, who_listens
from tierbroker.server.rate_limited_log import RateLimitedLog

if TYPE_CHECKING:
    from tierbroker.server.http_connection import HttpConnection, HttpContext, HttpLimits
    from tierbroker.server.http_messages import Routes

NAME = "HTTP"
DESCRIPTOR_RESERVE = 32
MIN_SWEEP_S = 0.02
MAX_SWEEP_S = 1.0
_MAPPED_IPV4 = "::ffff:"

logger = logging.getLogger(__name__)


class HttpServer:
    """Answers HTTP/1.1 on one address. Listens from the start on; `close` ends it."""

    def __init__(
        self,
        host: str,
        port: int,
        routes: "Routes",
        *,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        clock: Clock,
        limits: "HttpLimits | None" = None,
    ) -> None:
        """Port 0 takes any free one. Raises ListenError."""
        self._routes = routes
        self._loop = loop
        self._executor = executor
        self._log = RateLimitedLog(clock)
        self._limits = limits
        self._module: ModuleType | None = None
        self._context: HttpContext | None = None
        self._connections: dict[HttpConnection, None] = {}
        self._waiting: list[tuple[socket.socket, str]] = []
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._draining = self._closed = False
        self._descriptor_limit = raise_descriptor_limit()
        listener = _open(host, port)
        self._local_only = is_loopback(str(listener.getsockname()[0]))
        self.address: tuple[str, int] = (str(listener.getsockname()[0]), listener.getsockname()[1])
        """Where it listens really."""
        self._acceptor = Acceptor(listener, NAME, loop, self._room, self._take, self._log)
        self._acceptor.start()

    @property
    def connection_count(self) -> int:
        """Open connections."""
        return len(self._connections)

    def drain(self) -> None:
        """Take no new connection; end the others when they have their answers."""
        self._draining = True
        self._acceptor.close()
        for connection in list(self._connections):
            connection.drain()

    def close(self) -> None:
        """Close everything now."""
        self._draining = self._closed = True
        self._acceptor.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for waiting, _ in self._waiting:
            waiting.close()
        self._waiting.clear()
        for connection in list(self._connections):
            connection.close()

    # -- connections ---------------------------------------------------------------------------

    def _room(self) -> str | None:
        left = descriptors_left(self._descriptor_limit, self._acceptor.fileno)
        if left <= DESCRIPTOR_RESERVE:
            return f"only {left} of {self._descriptor_limit} file descriptors are left"
        return None

    def _take(self, connection: socket.socket, address: tuple[str, int], _: str) -> None:
        host = address[0].removeprefix(_MAPPED_IPV4)
        if self._context is not None:
            self._begin(connection, host)
            return
        self._waiting.append((connection, host))
        if len(self._waiting) == 1:
            self._executor.run(_load, self._loaded)

    def _loaded(self, outcome: Outcome[ModuleType]) -> None:
        """The parser is here: begin with those that came meanwhile."""
        if self._closed:
            return
        if outcome.error is not None:
            # Nobody but who asks for HTTP shall suffer from it.
            logger.error("HTTP cannot be answered: %s", outcome.error)
            waiting, self._waiting = self._waiting, []
            for connection, _ in waiting:
                connection.close()
            return
        module = self._module = outcome.unwrap()
        limits: HttpLimits = self._limits or module.HttpLimits()
        self._limits = limits
        self._context = module.HttpContext(
            self._loop, limits, self._routes, self._local_only, self._on_closed
        )
        shortest = min(limits.request_s, limits.idle_s, limits.send_s, limits.linger_s)
        self._sweep_s = min(MAX_SWEEP_S, max(MIN_SWEEP_S, shortest / 8))
        self._sweep()
        waiting, self._waiting = self._waiting, []
        for connection, host in waiting:
            self._begin(connection, host)

    def _begin(self, connection: socket.socket, host: str) -> None:
        assert self._module is not None
        assert self._limits is not None
        if len(self._connections) >= self._limits.max_connections and not self._make_room():
            self._log.warning(logger, "HTTP: refused %s, all connections are busy", host)
            connection.close()
            return
        made: HttpConnection = self._module.HttpConnection(connection, host, self._context)
        self._connections[made] = None
        if self._draining:
            made.drain()

    def _make_room(self) -> bool:
        """Close the oldest connection that is not being answered: it has had its time."""
        for connection in self._connections:
            if not connection.is_busy:
                connection.close()
                return True
        return False

    def _on_closed(self, connection: "HttpConnection") -> None:
        self._connections.pop(connection, None)

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(self._sweep_s, self._sweep)
        now = self._loop.time()
        for connection in [each for each in self._connections if each.deadline <= now]:
            connection.close()


def _load() -> ModuleType:
    import tierbroker.server.http_connection as module

    return module


def _open(host: str, port: int) -> socket.socket:
    try:
        return open_listener(ListenerConfig(NAME, host, port), ServerLimits(backlog=64))
    except ListenError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE:
            owner = who_listens(port) or "another process"
            raise ListenError(
                f"Cannot listen for HTTP on {host}:{port}: {owner} listens there already. Take "
                "another port with http.listener=HOST:PORT (port 0: any free one), or none with "
                "an empty http.listener."
            ) from cause
        raise
