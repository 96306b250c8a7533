"""Writes one `.cleaned` segment with its indexes, through a bounded buffer.

The index entries follow the rule of the active segment (Kafka: LogSegment.append). The files are
durable when `finish` returns; their names are the broker's to make so. Never touches a file
without `.cleaned`.
"""

import os
from collections.abc import Callable, Iterable

from tierbroker.base.fs import Buffer, FileSystem, write_fully
from tierbroker.hot.file_names import (
    CLEANED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SEGMENT_SUFFIXES,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file_name,
)
from tierbroker.records import offset_index, time_index, txn_index
from tierbroker.records.batch import NO_TIMESTAMP
from tierbroker.records.txn_index import AbortedTxn

# A new file of its own: what an interrupted round may still hold open is another one.
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class CleanedWriter:
    """The segment under way."""

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        base_offset: int,
        *,
        index_interval_bytes: int,
        buffer_bytes: int,
        throttle: Callable[[int], None],
    ) -> None:
        """Remove what a former round left under these names and begin anew. Raises OSError."""
        self._fs = fs
        self._directory = directory
        self._base_offset = base_offset
        self._index_interval_bytes = index_interval_bytes
        self._buffer_bytes = buffer_bytes
        self._throttle = throttle
        self._buffer = bytearray()
        self._written = 0
        self._index = bytearray()
        self._time_index = bytearray()
        self._since_index_entry = 0
        self._highest_timestamp = (NO_TIMESTAMP, base_offset)
        self._last_time_entry = (NO_TIMESTAMP, base_offset)
        self._aborted: list[AbortedTxn] = []
        self.size_bytes = 0
        self.next_offset = base_offset
        self.remove()
        self._fd = fs.open(self._path(LOG_SUFFIX), _NEW_FILE)

    @property
    def max_timestamp(self) -> int:
        """The highest timestamp so far, -1 without any."""
        return self._highest_timestamp[0]

    def add(self, data: Buffer, last_offset: int, max_timestamp: int) -> None:
        """Append a batch. Raises OSError."""
        if max_timestamp > self._highest_timestamp[0]:
            self._highest_timestamp = max_timestamp, last_offset
        if self._since_index_entry > self._index_interval_bytes:
            self._index += offset_index.pack_entry(self._base_offset, last_offset, self.size_bytes)
            self._add_time_entry()
            self._since_index_entry = 0
        size = len(data)
        self._since_index_entry += size
        self.size_bytes += size
        self.next_offset = last_offset + 1
        self._buffer += data
        if len(self._buffer) >= self._buffer_bytes:
            self._flush_buffer()

    def add_aborted(self, transactions: Iterable[AbortedTxn]) -> None:
        """Note aborted transactions whose markers are in this segment, in order."""
        self._aborted += transactions

    def finish(self) -> tuple[str, ...]:
        """Write the rest, make the files durable, close; the suffixes written. Raises OSError."""
        self._flush_buffer()
        self._add_time_entry()
        self._fs.fdatasync(self._fd)
        self._close()
        written = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX]
        self._write_file(INDEX_SUFFIX, self._index)
        self._write_file(TIME_INDEX_SUFFIX, self._time_index)
        if self._aborted:
            content = b"".join(txn_index.pack_entry(txn) for txn in self._aborted)
            self._write_file(TXN_INDEX_SUFFIX, content)
            written.append(TXN_INDEX_SUFFIX)
        return tuple(written)

    def discard(self) -> None:
        """Close and remove all that was written. Raises OSError."""
        self._close()
        self.remove()

    def remove(self) -> None:
        """Remove the files of this segment that are there."""
        for suffix in SEGMENT_SUFFIXES:
            path = self._path(suffix)
            if self._fs.exists(path):
                self._fs.unlink(path)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._fs.close(fd)

    def _flush_buffer(self) -> None:
        if self._buffer:
            write_fully(self._fs, self._fd, self._buffer, self._written)
            self._written += len(self._buffer)
            self._throttle(len(self._buffer))
            self._buffer = bytearray()

    def _add_time_entry(self) -> None:
        if self._highest_timestamp[0] > self._last_time_entry[0]:
            self._last_time_entry = self._highest_timestamp
            self._time_index += time_index.pack_entry(self._base_offset, *self._last_time_entry)

    def _write_file(self, suffix: str, content: Buffer) -> None:
        fd = self._fs.open(self._path(suffix), _NEW_FILE)
        try:
            write_fully(self._fs, fd, content, 0)
            self._fs.fdatasync(fd)
        finally:
            self._fs.close(fd)

    def _path(self, suffix: str) -> str:
        name = offset_file_name(self._base_offset, suffix + CLEANED_SUFFIX)
        return f"{self._directory}/{name}"
