"""The socket server: listeners, connections, limits, and an orderly end.

Runs on a loop that is there already (uvloop in production) and hands requests to one dispatch
callable. The only package that opens a socket; must never import the broker.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.executor import Executor
from tierbroker.server.acceptor import Acceptor
from tierbroker.server.connection import Connection
from tierbroker.server.context import Dispatch, ServerContext
from tierbroker.server.descriptors import descriptors_left, raise_descriptor_limit
from tierbroker.server.limits import ListenerConfig, ServerLimits
from tierbroker.server.listener import open_listener
from tierbroker.server.memory import MemoryBudget
from tierbroker.server.output import Sender
from tierbroker.server.rate_limited_log import RateLimitedLog
from tierbroker.server.residency import Residency, best_residency
from tierbroker.wire.peer import Peer

logger = logging.getLogger(__name__)

MAX_SWEEP_S = 5.0
MIN_SWEEP_S = 0.02
SWEEPS_PER_TIMEOUT = 8
SLOW_FRAME_BYTES_PER_S = 1 << 20
_MAPPED_IPV4 = "::ffff:"  # how an IPv6 socket shows an IPv4 client


class Server:
    """Serves Kafka requests on several addresses.

    `on_error` gets what no request may cause: an exception of the dispatch callable other than
    CloseConnection, or a bug of the server itself. It is expected to stop the node.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[ListenerConfig],
        dispatch: Dispatch,
        limits: ServerLimits,
        executor: Executor,
        clock: Clock,
        on_error: Callable[[BaseException], None],
        residency: Residency | None = None,
    ) -> None:
        self._loop = loop
        self._listeners = list(listeners)
        self._limits = limits
        self._log = RateLimitedLog(clock)
        self._sender = Sender(
            residency or best_residency(), executor, limits.sendfile, limits.send_turn_bytes
        )
        self.memory = MemoryBudget(
            limits.memory_budget_bytes, limits.request_max_bytes, loop.call_soon
        )
        self._context = ServerContext(
            loop, dispatch, limits, self.memory, self._sender, self._log, on_error, self._on_closed
        )
        self._acceptors: list[Acceptor] = []
        self._connections: dict[int, Connection] = {}
        self._per_ip: dict[str, int] = {}
        self._next_id = 1
        self._descriptor_limit = 0
        self._sweep_s = min(MAX_SWEEP_S, max(MIN_SWEEP_S, self._shortest() / SWEEPS_PER_TIMEOUT))
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._drained: asyncio.Event | None = None

    @property
    def connection_count(self) -> int:
        """Open client connections."""
        return len(self._connections)

    @property
    def accepted_count(self) -> int:
        """Client connections since the start."""
        return self._next_id - 1

    @property
    def received_bytes(self) -> int:
        """Bytes from clients since the start."""
        return self._context.received_bytes

    @property
    def answered_bytes(self) -> int:
        """Bytes of answers to clients since the start, sent or about to be."""
        return self._sender.answered_bytes

    def start(self) -> dict[str, int]:
        """Accept clients, binding first if need be; returns the port of each listener by name."""
        assert self._sweep_timer is None, "a server starts once"
        if not self._acceptors:
            self.bind()
        for acceptor in self._acceptors:
            acceptor.start()
        self._sweep_timer = self._loop.call_later(self._sweep_s, self._sweep)
        return self.ports

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener by name, once bound."""
        return {acceptor.name: acceptor.port for acceptor in self._acceptors}

    def bind(self) -> dict[str, int]:
        """Open all listeners; returns the port of each by name. Raises ListenError.

        Clients can connect from now on, and wait to be accepted until `start`.
        """
        assert not self._acceptors, "a server binds once"
        self._descriptor_limit = raise_descriptor_limit()
        sockets: list[socket.socket] = []
        try:
            # A loop: what has been opened must be known when the next one fails.
            for config in self._listeners:
                sockets.append(open_listener(config, self._limits))  # noqa: PERF401
        except BaseException:
            for opened in sockets:
                opened.close()
            raise
        for config, listener in zip(self._listeners, sockets, strict=True):
            self._acceptors.append(
                Acceptor(listener, config.name, self._loop, self._room, self._take, self._log)
            )
        return self.ports

    def begin_drain(self) -> None:
        """Stop listening and reading; what has started is answered and sent, then closed."""
        if self._draining:
            return
        self._draining = True
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in list(self._connections.values()):
            connection.drain()

    async def wait_drained(self, timeout_s: float) -> bool:
        """Wait until all connections have ended; False when time ran out first."""
        assert self._draining
        if self._connections:
            self._drained = asyncio.Event()
            try:
                await asyncio.wait_for(self._drained.wait(), timeout_s)
            except TimeoutError:
                return False
        return True

    def stop(self) -> None:
        """Close everything now, whatever is in flight."""
        self._draining = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in list(self._connections.values()):
            connection.close()

    def _shortest(self) -> float:
        limits = self._limits
        return min(limits.idle_timeout_s, limits.half_closed_s, limits.slow_frame_s)

    def _room(self) -> str | None:
        """Why no connection can be taken now, or nothing."""
        if len(self._connections) >= self._limits.max_connections:
            return f"{len(self._connections)} connections are open (max.connections)"
        any_open = self._acceptors[0].fileno
        left = descriptors_left(self._descriptor_limit, any_open)
        if left <= self._limits.descriptor_reserve:
            return (
                f"only {left} of {self._descriptor_limit} file descriptors are left; raise the "
                "limit of open files (`ulimit -n`)"
            )
        return None

    def _take(self, connection: socket.socket, address: tuple[str, int], listener: str) -> None:
        """A client has connected."""
        host = address[0].removeprefix(_MAPPED_IPV4)
        count = self._per_ip.get(host, 0)
        limits = self._limits
        allowed = limits.max_connections_per_ip_overrides.get(host, limits.max_connections_per_ip)
        if count >= allowed:
            connection.close()
            self._log.warning(
                logger,
                "refused a connection of %s: it has %d (max.connections.per.ip)",
                host,
                count,
            )
            return
        try:
            local = connection.getsockname()
        except OSError:  # reset while it waited to be accepted
            connection.close()
            return
        local_address = (str(local[0]).removeprefix(_MAPPED_IPV4), int(local[1]))
        peer = Peer(self._next_id, host, address[1], listener, local_address)
        self._next_id += 1
        self._per_ip[host] = count + 1
        self._connections[peer.id] = Connection(connection, peer, self._context)

    def _on_closed(self, peer: Peer) -> None:
        del self._connections[peer.id]
        count = self._per_ip[peer.client_host] - 1
        if count:
            self._per_ip[peer.client_host] = count
        else:
            del self._per_ip[peer.client_host]
        if not self._draining:
            for acceptor in self._acceptors:
                acceptor.resume()
        elif not self._connections and self._drained is not None:
            self._drained.set()

    def _sweep(self) -> None:
        """One timer for all connections: close the idle, the half-closed and the stalling."""
        context = self._context
        limits = self._limits
        context.tick += 1
        self._sweep_timer = self._loop.call_later(self._sweep_s, self._sweep)
        idle_before = context.tick - self._ticks(limits.idle_timeout_s)
        half_closed_before = context.tick - self._ticks(limits.half_closed_s)
        memory_is_short = self.memory.has_waiting
        for connection in list(self._connections.values()):
            touched = connection.touched
            if (touched < idle_before and connection.is_idle) or (
                touched < half_closed_before and connection.half_closed
            ):
                connection.close()
            elif memory_is_short and (size := connection.partial_frame_bytes):
                allowed_s = limits.slow_frame_s + size / SLOW_FRAME_BYTES_PER_S
                if connection.frame_tick < context.tick - self._ticks(allowed_s):
                    connection.close(
                        f"a request of {size} bytes took more than {allowed_s:.0f} s to arrive "
                        "while others waited for memory (queued.max.request.bytes)"
                    )

    def _ticks(self, seconds: float) -> int:
        return int(seconds / self._sweep_s) + 1
