"""The `.snapshot` files of a log: producer state at an offset, so that a start replays little.

Written without waiting for the disk: a checksum guards them, and a start that finds none valid
replays the log from its beginning.
"""

import logging
import os
from collections.abc import Collection

from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.hot.disk_errors import is_disk_failure
from tierbroker.hot.file_names import (
    SNAPSHOT_SUFFIX,
    TEMPORARY_SUFFIX,
    offset_file_name,
    parse_offset_file,
)
from tierbroker.records import producer_snapshot
from tierbroker.records.errors import CorruptSnapshotError
from tierbroker.records.producer_snapshot import ProducerEntry

logger = logging.getLogger(__name__)

KEPT_SNAPSHOTS = 3

SnapshotContents = dict[int, list[ProducerEntry]]
"""By offset."""


class ProducerSnapshots:
    """The snapshot files of one directory, by rising offset."""

    def __init__(self, fs: FileSystem, directory: str, names: list[str]) -> None:
        """`names`: what the directory holds."""
        self._fs = fs
        self._directory = directory
        parsed = [parse_offset_file(name) for name in names]
        self.offsets = sorted(f.offset for f in parsed if f and f.suffix == SNAPSHOT_SUFFIX)
        self._doubtful: set[int] = set()

    def write(
        self, offset: int, entries: list[ProducerEntry], needed_from: int | None = None
    ) -> str:
        """Take a snapshot at `offset` and let go of old ones; answers its path.

        Those at `needed_from` and above stay. The next flush must cover the new one: batches it
        stands for may be deleted. Raises OSError.
        """
        path = self.path_of(offset)
        temporary = path + TEMPORARY_SUFFIX
        fd = self._fs.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        try:
            write_fully(self._fs, fd, producer_snapshot.encode(entries), 0)
        finally:
            self._fs.close(fd)
        self._fs.rename(temporary, path)
        if offset not in self.offsets:
            self.offsets = sorted((*self.offsets, offset))
        while len(self.offsets) > KEPT_SNAPSHOTS:
            if needed_from is not None and self.offsets[0] >= needed_from:
                break
            self._remove(self.offsets[0])
        return path

    def restore(self, lost: SnapshotContents, needed_from: int | None = None) -> None:
        """Write those that a crash took, by rising offset; nothing where there are none.

        Without them, what producers did in a segment would be forgotten once it is deleted and the
        log is cut back to its end, or started again. A disk without room leaves them out, for the
        records are all there still. Raises OSError when the disk failed.
        """
        for offset, entries in lost.items():
            try:
                self.write(offset, entries, needed_from)
            except OSError as error:
                if is_disk_failure(error):
                    raise
                path = self.path_of(offset)
                logger.warning("%s was lost in a crash and cannot be restored: %s", path, error)
                return

    def doubt(self, offset: int) -> None:
        """A start after a crash found or wrote those at `offset` and above: they may lie in the
        page cache alone, and no flush of this log is to cover them."""
        self._doubtful = {own for own in self.offsets if own >= offset}

    def settle(self, offset: int) -> bool:
        """Make the doubtful ones at `offset` and above durable, but for their names.

        Answers whether there are any. Waits for the disk; raises OSError.
        """
        settled = [own for own in self.offsets if own >= offset and own in self._doubtful]
        for own in settled:
            fd = self._fs.open(self.path_of(own), os.O_RDWR | os.O_CLOEXEC)
            try:
                self._fs.fdatasync(fd)
            finally:
                self._fs.close(fd)
        self._doubtful.difference_update(settled)
        return bool(settled)

    def content_of(self, offset: int) -> bytes:
        """The snapshot taken at `offset` as it lies on the disk; empty without a valid one."""
        if offset not in self.offsets:
            return b""
        data = self._fs.read_file(self.path_of(offset))
        try:
            producer_snapshot.decode(data)
        except CorruptSnapshotError:
            return b""
        return data

    def remove_below(self, offset: int) -> None:
        """Remove those below, but for the newest few; raises OSError."""
        while len(self.offsets) > KEPT_SNAPSHOTS and self.offsets[0] < offset:
            self._remove(self.offsets[0])

    def newest_valid(self, at_most: int) -> tuple[int, list[ProducerEntry]] | None:
        """(offset, content) of the newest readable snapshot up to `at_most`, None without one.

        Removes those that cannot be read.
        """
        for offset in reversed([o for o in self.offsets if o <= at_most]):
            try:
                return offset, producer_snapshot.decode(self._fs.read_file(self.path_of(offset)))
            except CorruptSnapshotError:
                self._remove(offset)
        return None

    def remove_above(self, offset: int) -> None:
        """Remove the snapshots of offsets that the log no longer has; raises OSError."""
        for stale in [o for o in self.offsets if o > offset]:
            self._remove(stale)

    def remove_of(self, base_offsets: Collection[int]) -> None:
        """Segments that began there were merged into others: their snapshots go, never the newest.

        Raises OSError.
        """
        for stale in self.offsets[:-1]:
            if stale in base_offsets:
                self._remove(stale)

    def _remove(self, offset: int) -> None:
        self._fs.unlink(self.path_of(offset))
        self.offsets.remove(offset)

    def path_of(self, offset: int) -> str:
        """Where the snapshot of that offset lies, or would."""
        return f"{self._directory}/{offset_file_name(offset, SNAPSHOT_SUFFIX)}"
