"""An internal topic as its coordinator sees it: append records, read them back.

Records are written by the same path as everybody's, with acks=all, so that what a coordinator
makes visible is as durable as what it tells about. Loop thread only; knows no record's meaning.
"""

from collections.abc import Callable, Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.errors import ApiError, MessageTooLargeError
from tierbroker.hot.log import AppendResult
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import read_header, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.replication.partition import ACKS_ALL, Partition
from tierbroker.replication.partitions import Partitions

KeyValue = tuple[bytes, bytes | None]


class InternalTopic:
    """The partitions of one internal topic that this broker leads."""

    def __init__(self, name: str, partitions: Partitions, clock: Clock) -> None:
        self._name = name
        self._partitions = partitions
        self._clock = clock

    def append(
        self,
        partition: int,
        records: Sequence[KeyValue],
        done: Callable[[ApiError | None], None],
    ) -> None:
        """Write the records as one batch; `done` gets None once it is visible, else the error.

        The reserve of the disk may be used (D-6): commits go on when produce is refused. The calls
        of `done` for one partition come in log order.
        """
        now_ms = self._clock.now_ms()
        self._append(partition, build_batch(Record(0, now_ms, *record) for record in records), done)

    def append_transactional(
        self,
        partition: int,
        records: Sequence[KeyValue],
        producer_id: int,
        producer_epoch: int,
        done: Callable[[ApiError | None], None],
    ) -> None:
        """As `append`, within the transaction that the producer has open on the partition.

        The producer counts no sequences for what the broker writes in its name: each batch begins
        at 0, as in Kafka, and only the epoch is checked (InvalidProducerEpochError).
        """
        now_ms = self._clock.now_ms()
        batch = build_batch(
            [Record(0, now_ms, *record) for record in records],
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=0,
            transactional=True,
        )
        self._append(partition, batch, done)

    def _append(
        self, partition: int, batch: bytes, done: Callable[[ApiError | None], None]
    ) -> None:
        records = bytearray(batch)
        try:
            target = self._leader(partition)
            target.check_in_sync()
            limit = target.online_log().config.max_message_bytes
            if len(records) > limit:
                raise MessageTooLargeError(
                    f"a batch for {target.topic_partition} has {len(records)} bytes, "
                    f"max.message.bytes is {limit}"
                )
        except ApiError as error:
            done(error)
            return

        def finish(result: AppendResult | ApiError) -> None:
            done(result if isinstance(result, ApiError) else None)

        target.append(records, read_header(records), ACKS_ALL, finish, AppendOrigin.COORDINATOR)

    def bounds(self, partition: int) -> tuple[int, int]:
        """(log start offset, offset behind the last visible record).

        Raises NotLeaderOrFollowerError, UnknownTopicOrPartitionError, KafkaStorageError.
        """
        source = self._leader(partition)
        return source.log_start_offset, source.high_watermark

    def read(self, partition: int, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one that holds `offset` on, at least one, below the visible end.

        Raises what `bounds` does, OffsetOutOfRangeError, CorruptMessageError.
        """
        source = self._leader(partition)
        data = source.online_log().read_bytes(offset, max_bytes, source.high_watermark)
        whole = 0
        for position, header in walk(data):
            whole = position + header.size_bytes
        return data[:whole]

    def _leader(self, partition: int) -> Partition:
        found = self._partitions.get(self._name, partition)
        found.check_leader()
        return found
