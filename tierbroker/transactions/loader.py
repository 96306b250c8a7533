"""Loads a shard: reads its partition of `__transaction_state` from the log start to the end.

The work is done in the background, since a large partition takes seconds. The loader answers no
request; the shard is not available until `done` is called, and stays so after an error. What
cannot be understood is never guessed: a record of an unknown kind is counted, a malformed one ends
the loading.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator

from tierbroker.base.background import Background
from tierbroker.base.errors import (
    ApiError,
    CorruptMessageError,
    NotLeaderOrFollowerError,
    UnknownTopicOrPartitionError,
)
from tierbroker.records.batch import BatchHeader, crc_valid, walk
from tierbroker.records.record import iterate
from tierbroker.transactions.ledger import Ledger
from tierbroker.transactions.ports import PartitionReader
from tierbroker.transactions.record_codec import decode_key, decode_value

READ_BYTES = 256 * 1024
RECORDS_PER_STEP = 64

logger = logging.getLogger(__name__)


class Loader:
    """One loading of one partition. Loop thread only."""

    def __init__(
        self,
        partition: int,
        reader: PartitionReader,
        ledger: Ledger,
        background: Background,
        done: Callable[[ApiError | None], None],
    ) -> None:
        self._partition = partition
        self._reader = reader
        self._ledger = ledger
        self._background = background
        self._done = done
        self._offset = 0
        # Not decoded while the log is read: most records are superseded by later ones.
        self._values: dict[str, bytes] = {}
        self._unknown: Counter[bytes] = Counter()
        self._steps = self._load()

    def start(self) -> None:
        """Begin in a later turn; `done` gets None, or why the partition cannot be loaded."""
        self._background.begin(self._steps)

    def cancel(self) -> None:
        """Stop reading; `done` is not called any more."""
        self._background.cancel(self._steps)

    def _load(self) -> Iterator[None]:
        try:
            yield from self._replay_all()
        except (UnknownTopicOrPartitionError, NotLeaderOrFollowerError) as error:
            # Deleted, or led elsewhere: the shard is about to be closed for it.
            self._done(error)
        except ApiError as error:
            logger.error(
                "__transaction_state-%d cannot be loaded at offset %d: %s; its transactional ids "
                "stay unavailable",
                self._partition,
                self._offset,
                error.message,
            )
            self._done(error)
        else:
            self._done(None)

    def _replay_all(self) -> Iterator[None]:
        """Everything there is to do; each step is short."""
        self._offset, end = self._reader.bounds(self._partition)
        while self._offset < end:
            yield from self._read(end)
            _, end = self._reader.bounds(self._partition)
        values, self._values = self._values, {}
        for number, (transactional_id, value) in enumerate(values.items(), start=1):
            self._ledger.add(transactional_id, decode_value(value))
            if number % RECORDS_PER_STEP == 0:
                yield
        if self._unknown:
            logger.warning(
                "__transaction_state-%d holds records of other kinds, which are left alone: %s",
                self._partition,
                ", ".join(
                    f"{count} of type {int.from_bytes(kind, 'big')}"
                    for kind, count in sorted(self._unknown.items())
                ),
            )

    def _read(self, end: int) -> Iterator[None]:
        """Replay the batches of one read."""
        data = self._reader.read(self._partition, self._offset, READ_BYTES)
        if not data:
            # The log ends with offsets that no batch has: a cleaner, or a power cut, took them.
            self._offset = end
            return
        first = self._offset
        for position, header in walk(data):
            if header.last_offset < self._offset:
                continue
            yield from self._batch(data, position, header)
            self._offset = header.next_offset
            yield
            if self._offset >= end:
                return
        if self._offset == first:
            raise CorruptMessageError(f"{len(data)} bytes hold no whole batch")

    def _batch(self, data: bytes, position: int, header: BatchHeader) -> Iterator[None]:
        if not crc_valid(data, position, header):
            raise CorruptMessageError("the CRC of the batch is wrong")
        if header.control:
            return
        batch = memoryview(data)[position : position + header.size_bytes]
        for number, record in enumerate(iterate(batch), start=1):
            self._record(record.key, record.value)
            if number % RECORDS_PER_STEP == 0:
                yield

    def _record(self, key: bytes | None, value: bytes | None) -> None:
        transactional_id = decode_key(key)
        if transactional_id is None:
            assert key is not None
            self._unknown[key[:2]] += 1
        elif value is None:
            self._values.pop(transactional_id, None)
        else:
            self._values[transactional_id] = value
