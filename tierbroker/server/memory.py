"""The memory that requests may take, over all connections of a server.

Large requests are counted apart from small ones, so that half-sent large requests never keep
small ones out. Who is refused waits in line and stops reading meanwhile; nothing is allocated
for it. Must never know what a request is.
"""

from collections import deque
from collections.abc import Callable

SMALL_FRAME_BYTES = 65_536


class Waiting:
    """A place in the line for memory."""

    __slots__ = ("resume", "size_bytes")

    def __init__(self, size_bytes: int, resume: Callable[[], None]) -> None:
        self.size_bytes = size_bytes
        self.resume: Callable[[], None] | None = resume


class _Pool:
    __slots__ = ("limit_bytes", "used_bytes", "waiting")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.waiting: deque[Waiting] = deque()

    def fits(self, size_bytes: int) -> bool:
        return self.used_bytes + size_bytes <= self.limit_bytes


class MemoryBudget:
    """At most `limit_bytes` for requests, a quarter of it for those of up to 64 KiB.

    A frame that has arrived already is always counted, so one receive (256 KiB) per connection
    may go over the limit before reading stops. `largest_bytes` is the largest request that must
    fit.
    """

    def __init__(
        self,
        limit_bytes: int,
        largest_bytes: int,
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        assert limit_bytes > 0
        self._small = _Pool(max(limit_bytes // 4, SMALL_FRAME_BYTES))
        self._large = _Pool(max(limit_bytes - limit_bytes // 4, largest_bytes))
        self._call_soon = call_soon
        self._wake_due = False
        self.under_pressure = False
        """The next large request may have to wait: receive no more than its size."""

    @property
    def used_bytes(self) -> int:
        """What all frames come to now, by declared size."""
        return self._small.used_bytes + self._large.used_bytes

    @property
    def limit_bytes(self) -> int:
        """What they may come to."""
        return self._small.limit_bytes + self._large.limit_bytes

    @property
    def has_waiting(self) -> bool:
        """Whether a connection waits for memory."""
        return bool(self._small.waiting or self._large.waiting)

    @property
    def small_exhausted(self) -> bool:
        """No request may be received before others are done."""
        return self._small.used_bytes >= self._small.limit_bytes

    def try_reserve(self, size_bytes: int) -> bool:
        """Set memory aside for a frame, or refuse."""
        pool = self._small if size_bytes <= SMALL_FRAME_BYTES else self._large
        if not pool.fits(size_bytes):
            return False
        pool.used_bytes += size_bytes
        return True

    def charge(self, size_bytes: int) -> None:
        """Count a frame that is here already."""
        pool = self._small if size_bytes <= SMALL_FRAME_BYTES else self._large
        pool.used_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """A frame is gone; wakes, in a later turn, those that fit now."""
        pool = self._small if size_bytes <= SMALL_FRAME_BYTES else self._large
        pool.used_bytes -= size_bytes
        assert pool.used_bytes >= 0, "a frame was released twice"
        if pool.waiting:
            self._wake_later()

    def release_all(self, sizes_bytes: list[int]) -> None:
        """Several frames are gone."""
        for size_bytes in sizes_bytes:
            self.release(size_bytes)

    def wait(self, size_bytes: int, resume: Callable[[], None]) -> Waiting:
        """Call `resume`, which tries again, once `size_bytes` may fit; first come, first served."""
        pool = self._small if size_bytes <= SMALL_FRAME_BYTES else self._large
        waiting = Waiting(size_bytes, resume)
        pool.waiting.append(waiting)
        self.under_pressure = bool(self._large.waiting)
        if pool.fits(size_bytes):
            self._wake_later()
        return waiting

    def stop_waiting(self, waiting: Waiting) -> None:
        """The connection is gone; those behind it move up."""
        waiting.resume = None
        waiting.size_bytes = 0
        self._wake_later()

    def _wake_later(self) -> None:
        if not self._wake_due:
            self._wake_due = True
            self._call_soon(self._wake)

    def _wake(self) -> None:
        self._wake_due = False
        for pool in (self._small, self._large):
            promised = 0
            while pool.waiting and pool.fits(promised + pool.waiting[0].size_bytes):
                waiting = pool.waiting.popleft()
                if waiting.resume is None:
                    continue
                before = pool.used_bytes
                waiting.resume()
                # One that only starts to read again takes nothing yet, but is about to.
                promised += max(0, waiting.size_bytes - (pool.used_bytes - before))
        self.under_pressure = bool(self._large.waiting)
