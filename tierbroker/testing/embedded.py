"""A broker inside this process: `tierbroker.Broker`.

It opens real sockets and is the same broker that the command line starts. Settings come from the
caller alone: neither the environment nor a file plays a part, so that a test means the same on
every machine.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tierbroker.testing.client_config import ClientFamily, client_config

if TYPE_CHECKING:
    from tierbroker.node.node import Node
    from tierbroker.testing.hosted import HostedNode


class Broker:
    """An embedded broker.

    `async with Broker() as broker` runs it in the caller's event loop, `with Broker() as broker`
    in a thread with a loop of its own. Without `data` it keeps nothing: it lives in a temporary
    directory that is removed when it stops, and never waits for the disk. With `data` it keeps
    everything there; `ephemeral=True` then means a temporary directory inside of `data`. `port` 0
    takes any free port; `config` has settings by Kafka's names, which win over all of this.

    Raises InvalidConfigError, DataDirError or ListenError (tierbroker.base.errors) on entry.
    A `Broker` is entered once.
    """

    def __init__(
        self,
        data: "str | os.PathLike[str] | None" = None,
        *,
        ephemeral: bool | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._data = None if data is None else os.fspath(data)
        self._ephemeral = data is None if ephemeral is None else ephemeral
        self._host = host
        self._port = port
        self._config = dict(config or {})
        self._temporary: str | None = None
        self._node: Node | None = None
        self._hosted: HostedNode | None = None
        self._bootstrap: str | None = None

    @property
    def bootstrap(self) -> str:
        """ "host:port" for clients; only while it runs."""
        assert self._bootstrap is not None, "the broker runs inside of `with` or `async with`"
        return self._bootstrap

    @property
    def http_url(self) -> str | None:
        """Where it answers /metrics, /healthz and /readyz, None with an empty `http.listener`."""
        if self._hosted is not None:
            return self._hosted.http_url
        assert self._node is not None, "the broker runs inside of `with` or `async with`"
        return self._node.http_url

    def config(self, client: ClientFamily) -> dict[str, str]:
        """Settings that connect a client of that family to this broker."""
        return client_config(self.bootstrap, client)

    def offload(self, topic: str, *, evict: bool = False, timeout_s: float = 30.0) -> None:
        """Bring everything that the tiered topic holds to the cold tier, and wait for it.

        With `evict` it leaves the local disk: what is read then comes from the store. For a broker
        in `with`; inside of `async with` await `offload_async`. Raises TimeoutError, and
        UnknownTopicOrPartitionError for a topic that is not tiered.
        """
        assert self._hosted is not None, "inside of `async with` it is `await offload_async(...)`"
        self._hosted.call(lambda node: node.offload(topic, evict=evict), timeout_s)

    def evict(self, topic: str, *, timeout_s: float = 30.0) -> None:
        """The same as `offload(topic, evict=True)`."""
        self.offload(topic, evict=True, timeout_s=timeout_s)

    async def offload_async(
        self, topic: str, *, evict: bool = False, timeout_s: float = 30.0
    ) -> None:
        """`offload` for a broker inside of `async with`."""
        import asyncio

        assert self._node is not None, "inside of `with` it is `offload(...)`"
        async with asyncio.timeout(timeout_s):
            await self._node.offload(topic, evict=evict)

    async def __aenter__(self) -> Self:
        from tierbroker.node.node import Node
        from tierbroker.node.settings import Settings

        try:
            self._node = Node(Settings.load(self._flags(), {}, None))
            await self._node.start()
        except BaseException:
            self._remove_temporary()
            raise
        self._bootstrap = self._node.bootstrap
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._node is not None
        try:
            await self._node.stop()
        finally:
            self._bootstrap = None
            self._remove_temporary()

    def __enter__(self) -> Self:
        from tierbroker.node.settings import Settings
        from tierbroker.testing.hosted import HostedNode

        try:
            self._hosted = HostedNode(Settings.load(self._flags(), {}, None))
            self._bootstrap = self._hosted.start()
        except BaseException:
            self._remove_temporary()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._hosted is not None
        try:
            self._hosted.stop()
        finally:
            self._bootstrap = None
            self._remove_temporary()

    def _flags(self) -> dict[str, str]:
        host = f"[{self._host}]" if ":" in self._host else self._host
        flags = {
            "listeners": f"PLAINTEXT://{host}:{self._port}",
            "group.initial.rebalance.delay.ms": "0",
        }
        if self._ephemeral:
            if self._data is not None:
                os.makedirs(self._data, exist_ok=True)
            self._temporary = tempfile.mkdtemp(prefix="tierbroker-", dir=self._data)
            flags |= {"log.dirs": self._temporary, "flush.mode": "none"}
        else:
            assert self._data is not None, "a broker that is not ephemeral needs a data directory"
            flags["log.dirs"] = self._data
        return flags | self._config

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
