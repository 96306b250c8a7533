"""Bytes a second: a bucket of tokens that many stories draw from."""

from tierbroker.base.clock import Clock
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import Scheduler
from tierbroker.base.story import sleep, tell, until
from tierbroker.cold.ports import ObjectReader

UNLIMITED = (1 << 63) - 1

GRAIN_S = 0.001
"""Nobody waits for less: a rate without a limit needs no timers."""


class ByteRate:
    """At most so many bytes a second over time; a single piece may be larger, what follows waits.

    The grain is the piece that is drawn, as with Kafka's quotas for remote copies (KIP-956).
    """

    __slots__ = ("_clock", "_free_at", "_scheduler", "bytes_per_second")

    def __init__(self, clock: Clock, scheduler: Scheduler, bytes_per_second: int) -> None:
        self._clock = clock
        self._scheduler = scheduler
        self.bytes_per_second = bytes_per_second
        self._free_at = 0.0

    def draw(self, size_bytes: int) -> Pending[None]:
        """Done when the piece may begin; pieces begin in the order of the calls."""
        now = self._clock.monotonic()
        begins_at = max(now, self._free_at)
        self._free_at = begins_at + size_bytes / self.bytes_per_second
        if begins_at - now < GRAIN_S:
            at_once: Pending[None] = Pending()
            at_once.resolve(None)
            return at_once
        return sleep(self._scheduler, begins_at - now)


class RatedReads:
    """Reads of a store, limited for all readers together (`cold.ports.ObjectReader`)."""

    def __init__(self, store: ObjectReader, rate: ByteRate) -> None:
        self._store = store
        self._rate = rate

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectReader; begins when the bytes before it are paid for."""
        return tell(self._get_range(key, start, length))

    async def _get_range(self, key: str, start: int, length: int) -> bytes | memoryview:
        await until(self._rate.draw(length))
        return await until(self._store.get_range(key, start, length))
