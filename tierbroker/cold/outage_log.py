"""What the log says of one kind of work while the store fails: its beginning, its end, little else.

A store that is down fails everything that is asked of it, several times a second, for hours.
Decides nothing, and keeps no failure from whoever asked.
"""

import logging

from tierbroker.base.clock import Clock

AGAIN_S = 60.0
"""Between two words about failures, be they of one outage or of several short ones."""


class OutageLog:
    """Of one kind of work, which is told of each success and each failure."""

    __slots__ = (
        "_began",
        "_clock",
        "_failures",
        "_last",
        "_logger",
        "_next_word",
        "_said",
        "_what",
    )

    def __init__(self, logger: logging.Logger, clock: Clock, what: str) -> None:
        """`what` works again in the end: "cold reads"."""
        self._logger = logger
        self._clock = clock
        self._what = what
        self._failures = 0
        """Since the last success."""
        self._began = self._last = 0.0
        """When the first and the latest of them was."""
        self._said = False
        """Whether the log knows of them."""
        self._next_word = float("-inf")

    def failed(self, line: str) -> None:
        """It failed; `line` says what and why, and is the whole message the first time."""
        now = self._clock.monotonic()
        if not self._failures:
            self._began = now
        self._failures += 1
        self._last = now
        if now < self._next_word:
            return
        self._next_word = now + AGAIN_S
        self._said = True
        if self._failures == 1:
            self._logger.warning("%s", line)
        else:
            self._logger.warning("%s (failures: %d in %.0f s)", line, self._failures, self._took_s)

    def worked(self) -> None:
        """It succeeded."""
        if self._said:
            self._logger.info(
                "%s: well again; failures: %d in %.0f s",
                self._what,
                self._failures,
                self._took_s,
            )
        self._failures = 0
        self._said = False

    @property
    def _took_s(self) -> float:
        return self._last - self._began
