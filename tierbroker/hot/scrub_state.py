"""How far the scrub has come, in the file `scrub-checkpoint` of a log directory.

Losing it costs nothing but reads: the next round begins one interval later.
"""

import logging
from typing import NamedTuple

from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.fs import FileSystem, write_atomically
from tierbroker.base.ids import TopicPartition
from tierbroker.records.errors import CorruptCheckpointError
from tierbroker.records.text_checkpoint import decode_lines, encode_lines, parse_number

logger = logging.getLogger(__name__)

SCRUB_FILE = "scrub-checkpoint"
WRITE_EVERY_MS = 30_000
_FIELDS = 4


class ScrubPlace(NamedTuple):
    """Where a round goes on."""

    topic_partition: TopicPartition
    offset: int


FIRST_PLACE = ScrubPlace(TopicPartition("", 0), 0)


class ScrubState:
    """When the last round began, and where it is. Loop thread only."""

    def __init__(self, fs: FileSystem, directory: str, now_ms: int) -> None:
        """Read the file. Without one, a round counts as begun and done now."""
        self._fs = fs
        self._path = f"{directory}/{SCRUB_FILE}"
        self.started_ms = now_ms
        self.place: ScrubPlace | None = None
        """None between two rounds."""
        self._busy = False
        self._written_ms = 0
        self._missing = not self._read()

    def _read(self) -> bool:
        try:
            if not self._fs.exists(self._path):
                return False
            (entry,) = decode_lines(self._fs.read_file(self._path), _FIELDS)
            started_ms, partition, offset = (parse_number(entry[slot]) for slot in (0, 2, 3))
        except (CorruptCheckpointError, ValueError, OSError) as error:
            logger.warning("%s cannot be read: %s; the scrub begins anew", self._path, error)
            return False
        self.started_ms = started_ms
        if partition >= 0:
            self.place = ScrubPlace(TopicPartition(entry[1], partition), offset)
        return True

    def settle(self, executor: Executor) -> None:
        """Write the first file, which says when the first round is due."""
        if self._missing:
            self._missing = False
            self._write(executor)

    def begin(self, now_ms: int) -> ScrubPlace:
        """A round begins."""
        self.started_ms = now_ms
        self.place = FIRST_PLACE
        return self.place

    def moved(self, place: ScrubPlace, now_ms: int, executor: Executor) -> None:
        """The round has come so far; written down now and then."""
        self.place = place
        if now_ms - self._written_ms >= WRITE_EVERY_MS:
            self._written_ms = now_ms
            self._write(executor)

    def end(self, executor: Executor) -> None:
        """The round is over."""
        self.place = None
        self._write(executor)

    def _write(self, executor: Executor) -> None:
        if self._busy:
            return
        self._busy = True
        content = self._content()

        def done(outcome: Outcome[None]) -> None:
            self._busy = False
            outcome.unwrap()

        executor.run(lambda: self._write_file(content), done)

    def _content(self) -> bytes:
        topic, partition, offset = "-", -1, 0
        if self.place is not None:
            (topic, partition), offset = self.place
        return encode_lines([f"{self.started_ms} {topic or '-'} {partition} {offset}"])

    def _write_file(self, content: bytes) -> None:
        try:
            write_atomically(self._fs, self._path, content)
        except OSError as error:
            # Whether the disk failed is for those to say whose data is at stake.
            logger.warning("%s cannot be written: %s", self._path, error)
