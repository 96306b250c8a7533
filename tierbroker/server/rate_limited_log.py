"""Log lines that strangers can cause, at a rate that they cannot choose."""

import logging

from tierbroker.base.clock import Clock


class RateLimitedLog:
    """At most `burst` lines at once and `per_second` on average; says how many it left out."""

    def __init__(self, clock: Clock, per_second: float = 1.0, burst: int = 10) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = clock.monotonic()
        self.suppressed = 0

    def warning(self, logger: logging.Logger, message: str, *values: object) -> None:
        """Log, or count."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1.0:
            self.suppressed += 1
            return
        self._tokens -= 1.0
        if self.suppressed:
            message += " (%d similar lines left out)"
            values += (self.suppressed,)
            self.suppressed = 0
        logger.warning(message, *values)
