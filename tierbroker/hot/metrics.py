"""Metrics of disks, flushes and compaction."""

from typing import TYPE_CHECKING

from tierbroker.base.metrics import Samples, counter, gauge, histogram
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.log_dirs import LogDirs

if TYPE_CHECKING:
    from tierbroker.hot.cleaning.cleaner import Cleaner

LOG_DIR_ONLINE = gauge("log_dir_online", "1, or 0 once the log directory was given up.", "dir")
LOG_DIR_FREE = gauge("log_dir_free_bytes", "Free space on the log directory's disk.", "dir")
FLUSH_SECONDS = histogram(
    "flush_seconds", "Time of each flush to disk; one serves every log that waits."
)
COMPACTIONS = counter("compactions_total", "Rounds of compaction that replaced segments.")
COMPACTED = counter("compacted_bytes_total", "Bytes of log that compaction has read.")
COMPACTION_KEPT = counter("compaction_kept_bytes_total", "Bytes of these that it has kept.")
UNCLEANABLE = gauge("uncleanable_logs", "Compacted logs that are left alone since a fault.")

METRICS = (
    LOG_DIR_ONLINE,
    LOG_DIR_FREE,
    FLUSH_SECONDS,
    COMPACTIONS,
    COMPACTED,
    COMPACTION_KEPT,
    UNCLEANABLE,
)


def samples(dirs: LogDirs, flusher: GroupFlusher, cleaner: "Cleaner | None") -> Samples:
    """Disks as they are now; counts since the start. `cleaner` is None before there is work."""
    for log_dir in dirs:
        yield LOG_DIR_ONLINE.at(0 if log_dir.offline else 1, log_dir.path)
        yield LOG_DIR_FREE.at(log_dir.free_bytes, log_dir.path)
    yield FLUSH_SECONDS.at(flusher.seconds.value)
    yield COMPACTIONS.at(0 if cleaner is None else cleaner.rounds)
    yield COMPACTED.at(0 if cleaner is None else cleaner.read_bytes)
    yield COMPACTION_KEPT.at(0 if cleaner is None else cleaner.kept_bytes)
    yield UNCLEANABLE.at(0 if cleaner is None else len(cleaner.uncleanable))
