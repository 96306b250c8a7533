"""The leader epochs of one log, and their file `leader-epoch-checkpoint` (KIP-101, KIP-279).

The file is replaced without waiting for the disk; the log's next flush covers it. One that a
crash damaged is rebuilt from the batches, which carry their epochs.
"""

import logging
import os

from tierbroker.base.fs import FileSystem, write_fully
from tierbroker.hot.file_names import LEADER_EPOCH_FILE, TEMPORARY_SUFFIX
from tierbroker.records import epoch_lineage
from tierbroker.records.epoch_lineage import UNDEFINED_EPOCH, EpochEntry
from tierbroker.records.errors import CorruptCheckpointError

logger = logging.getLogger(__name__)


class LeaderEpochs:
    """The lineage in memory and on disk. Every change raises OSError as `replace` does."""

    __slots__ = ("_fs", "_is_written", "lineage", "path", "unflushed")

    def __init__(
        self, fs: FileSystem, directory: str, lineage: tuple[EpochEntry, ...] = ()
    ) -> None:
        self._fs = fs
        self.path = f"{directory}/{LEADER_EPOCH_FILE}"
        self.lineage = lineage
        self.unflushed = False
        self._is_written = True

    @property
    def latest(self) -> int:
        """The latest epoch, -1 without one."""
        return self.lineage[-1].epoch if self.lineage else UNDEFINED_EPOCH

    def assign(self, epoch: int, start_offset: int) -> None:
        """`epoch` begins at `start_offset`; what contradicts it is superseded."""
        self.replace(epoch_lineage.assigned(self.lineage, epoch, start_offset))

    def cut_end(self, end_offset: int) -> None:
        """The log now ends at `end_offset`."""
        self.replace(epoch_lineage.truncated_from_end(self.lineage, end_offset))

    def cut_start(self, start_offset: int) -> None:
        """The log now starts at `start_offset`."""
        self.replace(epoch_lineage.truncated_from_start(self.lineage, start_offset))

    def end_offset_for(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(epoch, end offset) of the largest epoch at or below `epoch`; (-1, -1) if unknown."""
        return epoch_lineage.end_offset_for(self.lineage, epoch, log_end_offset)

    def epoch_at(self, offset: int) -> int:
        """The epoch that `offset` was written under, -1 if unknown."""
        return epoch_lineage.epoch_at(self.lineage, offset)

    def replace(self, lineage: tuple[EpochEntry, ...]) -> None:
        """Take the lineage over and write it, if it differs.

        Raises OSError when the file refuses; the lineage counts all the same, and the next change,
        an orderly stop (`write_if_behind`) or the start after a crash repairs the file.
        """
        if lineage == self.lineage:
            return
        self.lineage = lineage
        self._write()

    def write_if_behind(self) -> None:
        """Write what the file once refused: an orderly start believes it. Raises OSError."""
        if not self._is_written:
            self._write()

    def _write(self) -> None:
        self._is_written = False
        temporary = self.path + TEMPORARY_SUFFIX
        fd = self._fs.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        try:
            write_fully(self._fs, fd, epoch_lineage.encode(self.lineage), 0)
        finally:
            self._fs.close(fd)
        self._fs.rename(temporary, self.path)
        self._is_written = True
        self.unflushed = True


def read_lineage(fs: FileSystem, directory: str) -> tuple[EpochEntry, ...] | None:
    """The epochs in the directory's file; None when it is missing or cannot be read.

    Raises OSError when the disk does not answer.
    """
    path = f"{directory}/{LEADER_EPOCH_FILE}"
    if not fs.exists(path):
        return None
    try:
        return epoch_lineage.decode(fs.read_file(path))
    except CorruptCheckpointError as error:
        logger.warning("%s: %s; it is rebuilt from the batches", path, error)
        return None
