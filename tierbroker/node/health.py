"""Whether the node may be sent clients, and if not, why: one sentence a reason.

What the pages /healthz and /readyz say. Must never decide anything.
"""

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tierbroker.hot.log_dir import LogDir


class Phase(Enum):
    """Where a node is in its life."""

    STARTING = "it starts"
    SERVING = "it serves"
    STOPPING = "it stops"


class Health:
    """One node's state, as its parts report it."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.opened_logs = self.total_logs = 0
        self.log_dirs: Iterable[LogDir] = ()
        self.loads: Callable[[], str | None] = lambda: None
        """What is still being read although the node serves, if anything."""

    def note_progress(self, done: int, total: int) -> None:
        """So many logs of so many are open."""
        self.opened_logs, self.total_logs = done, total

    def reasons(self) -> list[str]:
        """Why clients should not be sent here; empty when they should."""
        found = []
        if self.phase is Phase.STARTING:
            opened = f"{self.opened_logs} of {self.total_logs} logs are open"
            found.append(f"the broker starts: {opened}" if self.total_logs else "the broker starts")
        elif self.phase is Phase.STOPPING:
            found.append("the broker stops")
        elif (loading := self.loads()) is not None:
            found.append(loading)
        found += [
            f"log directory {log_dir.path} is offline: {log_dir.error}"
            for log_dir in self.log_dirs
            if log_dir.error is not None
        ]
        return found
