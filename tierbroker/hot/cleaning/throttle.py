"""Keeps reading and writing of the cleaner below a rate (`log.cleaner.io.max.bytes.per.second`)."""

from collections.abc import Callable

# The rate holds over a window of this length: what was not used before is not saved up.
_WINDOW_S = 1.0


class Throttle:
    """Counts bytes and pauses when they came too fast."""

    def __init__(
        self,
        bytes_per_second: float,
        monotonic: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        """`pause` sleeps that many seconds."""
        self._rate = bytes_per_second
        self._monotonic = monotonic
        self._pause = pause
        self._window_start = monotonic()
        self._window_bytes = 0
        self.total_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Account for bytes read or written; returns when more may follow."""
        self.total_bytes += size_bytes
        self._window_bytes += size_bytes
        elapsed = self._monotonic() - self._window_start
        ahead = self._window_bytes / self._rate - elapsed
        if ahead > 0:
            self._pause(ahead)
        if ahead > 0 or elapsed > _WINDOW_S:
            self._window_start = self._monotonic()
            self._window_bytes = 0
