"""Making appends durable: what to flush, how, and one flush for everything that waits (D-6).

A `FlushStrategy` runs on a worker thread and knows only descriptors. `GroupFlusher` runs on the
loop thread and never touches the disk. Neither ever repeats a flush that failed: the kernel may
have dropped the pages and would report success the second time.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierbroker.base.parts import Lease

if TYPE_CHECKING:
    from tierbroker.hot.log import Log


@dataclass(frozen=True, slots=True)
class FlushTarget:
    """What must reach the disk so that `log` is durable up to `end_offset` (exclusive)."""

    log: "Log"
    fds: tuple[int, ...]
    """Descriptors with unflushed data, to be fdatasynced."""
    new_dirs: tuple[str, ...]
    """Directories that hold names not yet durable, to be fsynced first."""
    end_offset: int
    """The log end offset when the target was taken."""
    leases: tuple[Lease, ...] = ()
    """What keeps the descriptors open while a worker uses them; the flusher releases each once,
    on the loop thread, after the flush. A log must not close a descriptor it gave out before."""
