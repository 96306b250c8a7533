"""A node in a thread with an event loop of its own, for callers that have no loop to share.

The thread owns the node: everything that touches it runs there. The caller only starts it, learns
its address, and stops it.
"""

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

import uvloop

from tierbroker.node.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from tierbroker.base.pending import Pending
    from tierbroker.node.settings import Settings

T = TypeVar("T")

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0


class HostedNode:
    """Starts and stops one node in a daemon thread. It is started once."""

    def __init__(self, settings: "Settings") -> None:
        self._settings = settings
        self._thread = threading.Thread(target=self._run, name="tierbroker", daemon=True)
        self._settled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked: asyncio.Event | None = None
        self._bootstrap: str | None = None
        self._node: Node | None = None
        self._error: BaseException | None = None

    def start(self) -> str:
        """Start it; returns "host:port" once clients can connect. Raises what the node raised."""
        self._thread.start()
        if not self._settled.wait(START_TIMEOUT_S):
            raise TimeoutError(f"the broker was not ready after {START_TIMEOUT_S:g} s")
        if self._error is not None:
            self._thread.join()
            raise self._error
        assert self._bootstrap is not None
        return self._bootstrap

    @property
    def http_url(self) -> str | None:
        """Where its health and metrics are, once started."""
        assert self._node is not None, "the node runs"
        return self._node.http_url

    def stop(self) -> None:
        """Stop it in order and end the thread; raises what stopping raised."""
        if self._loop is not None and self._stop_asked is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop_asked.set)
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            raise TimeoutError(f"the broker did not stop within {STOP_TIMEOUT_S:g} s")
        if self._error is not None:
            raise self._error

    def call(self, ask: "Callable[[Node], Pending[T]]", timeout_s: float) -> T:
        """Ask the node something in its thread and wait for the answer.

        Raises what it failed with, TimeoutError when it takes longer; it is given up then.
        """
        assert self._loop is not None, "the node runs"
        assert self._node is not None, "the node runs"
        node = self._node

        async def wait() -> T:
            async with asyncio.timeout(timeout_s):
                return await ask(node)

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._host())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
            self._error = error
        finally:
            self._settled.set()

    async def _host(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_asked = asyncio.Event()
        node = Node(self._settings)
        await node.start()
        self._node = node
        self._bootstrap = node.bootstrap
        self._settled.set()
        await self._stop_asked.wait()
        await node.stop()
