"""What the connections of one server have in common. Must never hold one of them."""

import asyncio
from collections.abc import Callable

from tierbroker.base.pending import Pending
from tierbroker.server.limits import ServerLimits
from tierbroker.server.memory import MemoryBudget
from tierbroker.server.output import Sender
from tierbroker.server.rate_limited_log import RateLimitedLog
from tierbroker.wire.connection import Answer
from tierbroker.wire.framing import Scratch
from tierbroker.wire.peer import Peer

Promise = Pending[Answer]
Dispatch = Callable[[Peer, bytearray], "Promise | Answer"]
"""A request in (without its size), an answer out: at once, later, or none (acks=0). Raises
CloseConnection to end the connection after the earlier answers; anything else is a bug."""


class ServerContext:
    """Ports, limits and buffers of one server. `tick` counts its sweeps.

    `on_closed` hears the id and the address of every connection that ends.
    """

    __slots__ = (
        "_deferred",
        "dispatch",
        "limits",
        "log",
        "loop",
        "memory",
        "on_closed",
        "on_error",
        "output_limit_bytes",
        "read_turn_bytes",
        "received_bytes",
        "scratch",
        "sender",
        "tick",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatch: Dispatch,
        limits: ServerLimits,
        memory: MemoryBudget,
        sender: Sender,
        log: RateLimitedLog,
        on_error: Callable[[BaseException], None],
        on_closed: Callable[[Peer], None],
    ) -> None:
        self.loop = loop
        self.dispatch = dispatch
        self.limits = limits
        self.memory = memory
        self.sender = sender
        self.log = log
        self.on_error = on_error
        self.on_closed = on_closed
        self.output_limit_bytes = limits.output_limit_bytes
        self.read_turn_bytes = limits.read_turn_bytes
        self.scratch = Scratch()
        self.received_bytes = 0
        """From all clients since the start."""
        self.tick = 0
        self._deferred: dict[Callable[[], None], None] = {}

    def progress_later(self, progress: Callable[[], None]) -> None:
        """Call once at the end of this turn, however often it is asked for."""
        if not self._deferred:
            self.loop.call_soon(self._run_deferred)
        self._deferred[progress] = None

    def _run_deferred(self) -> None:
        deferred, self._deferred = self._deferred, {}
        for progress in deferred:
            progress()
