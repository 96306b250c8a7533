"""Bytes on their way to the store that are too many for memory: a file takes what goes beyond.

The file has no name while it is in use, so that nothing is left of it whatever becomes of the
process; it is never synced, for nobody reads it after a crash. A disk that does not take it is no
reason to do without: what follows stays in memory then. Loop thread only.
"""

import errno
import logging
import os

from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.base.parts import FileSlice, Part
from tierbroker.base.pending import Pending
from tierbroker.base.story import until
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import SectionBody
from tierbroker.records.checksum import crc32c

logger = logging.getLogger(__name__)

MEMORY_BYTES = 2 * 1024 * 1024
"""So much stays in memory: most clusters never need the file."""


class Spool:
    """One section of an object, as it grows. It is the lease of its own file."""

    def __init__(
        self,
        fs: FileSystem,
        executor: Executor,
        path: str,
        kept_bytes: int,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        """Nobody else may use `path`. The file leaves `kept_bytes` of its disk free."""
        self._fs = fs
        self._executor = executor
        self._path = path
        self._kept_bytes = kept_bytes
        self._memory_bytes = memory_bytes
        self._size_bytes = 0
        self._checksum = 0
        self._first: list[bytes] = []
        self._fd = -1
        """A worker opens it; nobody else looks at it while one is writing."""
        self._file_bytes = 0
        self._made_as = 0
        """CRC-64/NVME of all that was appended, once some of it is in the file."""
        self._last: list[bytes] = []
        """What the disk did not take."""
        self._refused = False
        self._writing = False
        self._released = False

    async def append(self, piece: bytes) -> None:
        """A story: add the piece at the end; one after the other."""
        self._checksum = crc32c(piece, self._checksum)
        self._size_bytes += len(piece)
        if self._refused:
            self._append_to_memory(piece)
        elif self._size_bytes <= self._memory_bytes:
            self._first.append(piece)
        else:
            await self._append_to_file(piece)

    def body(self) -> SectionBody:
        """All that was appended. Whoever has it releases its parts, or calls `release`."""
        parts: list[Part] = [*self._first]
        if self._file_bytes:
            parts.append(FileSlice(self._fd, 0, self._file_bytes, self))
        made_as = self._made_as if self._file_bytes else None
        return SectionBody([*parts, *self._last], self._size_bytes, self._checksum, made_as)

    def release(self) -> None:
        """The file is needed no more. May be called in the middle of an `append` that was closed,
        and again."""
        self._released = True
        if self._fd >= 0 and not self._writing:
            fd, self._fd = self._fd, -1
            # To free the blocks of a large file takes a while. That of no use is lost by an error.
            self._executor.run(lambda: self._fs.close(fd), lambda _: None)

    def cannot_read(self, position: int, error: OSError) -> None:
        """See Lease: the upload fails, and the next checkpoint has a file of its own."""

    async def _append_to_file(self, piece: bytes) -> None:
        try:
            await until(self._write(piece))
        except OSError as error:
            self._refused = True
            self._append_to_memory(piece)
            logger.info("a checkpoint stays in memory, %s does not take it: %s", self._path, error)
            if not self._file_bytes:
                self.release()
        else:
            self._file_bytes += len(piece)

    def _append_to_memory(self, piece: bytes) -> None:
        if self._file_bytes:
            self._made_as = crc64nvme(piece, self._made_as)
        self._last.append(piece)

    def _write(self, piece: bytes) -> Pending[None]:
        written: Pending[None] = Pending()

        def work() -> None:
            if self._fs.free_bytes(os.path.dirname(self._path)) < self._kept_bytes + len(piece):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            if self._fd < 0:
                self._fd = self._open()
            write_fully(self._fs, self._fd, piece, self._file_bytes)
            for made in (piece,) if self._file_bytes else (*self._first, piece):
                self._made_as = crc64nvme(made, self._made_as)

        def done(outcome: Outcome[None]) -> None:
            self._writing = False
            if self._released and self._fd >= 0:
                # Not by `release`: the broker may have ended meanwhile, and its threads with it.
                self._fs.close(self._fd)
                self._fd = -1
            if outcome.error is not None:
                written.fail(outcome.error)
            else:
                written.resolve(None)

        self._writing = True
        self._executor.run(work, done)
        return written

    def _open(self) -> int:
        fd = self._fs.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            self._fs.unlink(self._path)
        except BaseException:
            self._fs.close(fd)
            raise
        return fd
