"""One checkpoint file of a log directory: offsets by partition, written whole and atomically.

A checkpoint is a hint that saves work. One that cannot be read must never stop a start: it counts
as empty, which costs a longer recovery, and a log line says so.
"""

import logging
import os
from collections.abc import Mapping

from tierbroker.base.fs import FileSystem, write_atomically
from tierbroker.base.ids import TopicPartition
from tierbroker.records import text_checkpoint
from tierbroker.records.errors import CorruptCheckpointError

RECOVERY_POINT_FILE = "recovery-point-offset-checkpoint"
LOG_START_FILE = "log-start-offset-checkpoint"
HIGH_WATERMARK_FILE = "replication-offset-checkpoint"
CLEANER_FILE = "cleaner-offset-checkpoint"

_CONSEQUENCE = {
    RECOVERY_POINT_FILE: "logs that were not closed in order are read again from their start",
    LOG_START_FILE: "logs begin at their first segment; records deleted by request may reappear",
    HIGH_WATERMARK_FILE: "high watermarks are found again from the logs",
    CLEANER_FILE: "compacted logs are cleaned from their start again",
}

logger = logging.getLogger(__name__)


class OffsetCheckpoint:
    """The file `name` in `directory`."""

    def __init__(self, fs: FileSystem, directory: str, name: str) -> None:
        self.path = os.path.join(directory, name)
        self._fs = fs
        self._consequence = _CONSEQUENCE[name]
        self._written: dict[TopicPartition, int] | None = None

    def read(self) -> dict[TopicPartition, int]:
        """The offsets; empty when there is no file or none that can be trusted.

        Raises OSError when the disk does not answer.
        """
        if not self._fs.exists(self.path):
            return {}
        offsets: dict[TopicPartition, int] = {}
        try:
            for topic, partition, offset in text_checkpoint.decode(self._fs.read_file(self.path)):
                if partition < 0 or offset < 0:
                    raise CorruptCheckpointError(f"{topic}-{partition} has offset {offset}")
                slot = TopicPartition(topic, partition)
                offsets[slot] = min(offset, offsets.get(slot, offset))
        except CorruptCheckpointError as error:
            logger.warning("%s is unreadable (%s): %s", self.path, error, self._consequence)
            return {}
        return offsets

    def changed(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Whether these differ from what this process wrote last."""
        return self._written != offsets

    def write(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Replace the file, unless it holds just that; raises OSError. May run on a worker."""
        if self._written == offsets:
            return
        entries = [(slot.topic, slot.partition, offset) for slot, offset in offsets.items()]
        write_atomically(self._fs, self.path, text_checkpoint.encode(entries))
        self._written = dict(offsets)
