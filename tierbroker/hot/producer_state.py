"""What a log knows of its producers: sequence numbers, epochs, the last five batches, open
transactions (Kafka: ProducerStateManager, ProducerAppendInfo).

The state derives from batches that are in the log and never runs ahead of it (INV-8): an append
is checked against a `StagedProducers`, which is committed only after the write succeeded.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tierbroker.base.errors import InvalidProducerEpochError, OutOfOrderSequenceNumberError
from tierbroker.records.batch import (
    MAX_SEQUENCE,
    NO_SEQUENCE,
    TRANSACTIONAL_BIT,
    BatchHeader,
)
from tierbroker.records.control import ControlType, EndTxnMarker
from tierbroker.records.producer_snapshot import ProducerEntry
from tierbroker.records.txn_index import AbortedTxn

REMEMBERED_BATCHES = 5
NO_EPOCH = -1
NO_OFFSET = -1
DEFAULT_EXPIRATION_MS = 86_400_000


class RememberedBatch(NamedTuple):
    """A batch that a repeat is recognised by."""

    first_sequence: int
    last_sequence: int
    first_offset: int
    last_offset: int
    timestamp_ms: int


class Producer(NamedTuple):
    """The state of one producer. Replaced as a whole, so a reference is a snapshot."""

    epoch: int
    batches: tuple[RememberedBatch, ...]
    last_timestamp_ms: int
    coordinator_epoch: int
    txn_first_offset: int

    @property
    def last_sequence(self) -> int:
        """The sequence that the next one must follow, -1 if there is none."""
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE


_UNKNOWN = Producer(NO_EPOCH, (), -1, -1, NO_OFFSET)


class StagedProducers:
    """Changes that one append would make; nothing counts before `ProducerState.commit`."""

    __slots__ = ("_known", "aborted", "changed")

    def __init__(self, known: dict[int, Producer]) -> None:
        self._known = known
        self.changed: dict[int, Producer] = {}
        self.aborted: list[AbortedTxn] = []

    def admit(self, header: BatchHeader, base_offset: int) -> RememberedBatch | None:
        """Judge a client's batch and stage it; a repeat answers the batch it repeats.

        Raises InvalidProducerEpochError for a fenced producer, OutOfOrderSequenceNumberError for a
        gap, and for a repeat of a batch that is no longer remembered.
        """
        producer_id, epoch = header.producer_id, header.producer_epoch
        producer = self.changed.get(producer_id) or self._known.get(producer_id)
        if producer is None:
            # Nothing is known: everything of it may have been deleted, so any sequence will do.
            producer = _UNKNOWN
        elif epoch == producer.epoch:
            first = header.base_sequence
            last = first + header.last_offset_delta & MAX_SEQUENCE
            batches = producer.batches
            expected = batches[-1][1] + 1 & MAX_SEQUENCE if batches else 0
            if first != expected:
                for batch in batches:
                    if batch[0] == first and batch[1] == last:
                        return batch
                raise OutOfOrderSequenceNumberError(
                    f"producer {producer_id} (epoch {epoch}) sent sequence {first} "
                    f"where {expected} was expected"
                )
        elif epoch < producer.epoch:
            raise InvalidProducerEpochError(
                f"producer {producer_id} sent epoch {epoch}, the current one is {producer.epoch}"
            )
        elif header.base_sequence != 0 and producer.epoch != NO_EPOCH:
            raise OutOfOrderSequenceNumberError(
                f"producer {producer_id} began epoch {epoch} with sequence "
                f"{header.base_sequence}, not with 0"
            )
        self._stage(producer, header, base_offset)
        return None

    def accept(self, header: BatchHeader, base_offset: int) -> None:
        """Stage a data batch that the log holds or a leader admitted: no judgement."""
        producer_id = header.producer_id
        producer = self.changed.get(producer_id) or self._known.get(producer_id) or _UNKNOWN
        self._stage(producer, header, base_offset)

    def _stage(self, producer: Producer, header: BatchHeader, base_offset: int) -> None:
        epoch, batches, _, coordinator_epoch, txn_first = producer
        first = header.base_sequence
        delta = header.last_offset_delta
        timestamp = header.max_timestamp
        added = RememberedBatch(
            first, first + delta & MAX_SEQUENCE, base_offset, base_offset + delta, timestamp
        )
        if epoch == header.producer_epoch:
            batches = (*batches[1 - REMEMBERED_BATCHES :], added)
        else:
            epoch, batches = header.producer_epoch, (added,)
        if txn_first < 0 and header.attributes & TRANSACTIONAL_BIT:
            txn_first = base_offset
        self.changed[header.producer_id] = Producer(
            epoch, batches, timestamp, coordinator_epoch, txn_first
        )

    def end_transaction(self, header: BatchHeader, marker: EndTxnMarker, offset: int) -> None:
        """Stage a transaction marker that stands at `offset`."""
        producer_id = header.producer_id
        producer = self.changed.get(producer_id) or self._known.get(producer_id) or _UNKNOWN
        if producer.txn_first_offset >= 0 and marker.control_type is ControlType.ABORT:
            self.aborted.append(
                AbortedTxn(producer_id, producer.txn_first_offset, offset, offset + 1)
            )
        keep = producer.batches if producer.epoch == header.producer_epoch else ()
        self.changed[producer_id] = Producer(
            header.producer_epoch, keep, header.max_timestamp, marker.coordinator_epoch, NO_OFFSET
        )


class ProducerState:
    """All producers of one log, as of `end_offset` (exclusive)."""

    def __init__(self, expiration_ms: int = DEFAULT_EXPIRATION_MS) -> None:
        self.expiration_ms = expiration_ms
        self.end_offset = 0
        self._producers: dict[int, Producer] = {}
        self._idle: dict[int, tuple[Producer, int]] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def __iter__(self) -> Iterator[tuple[int, Producer]]:
        return iter(self._producers.items())

    def get(self, producer_id: int) -> Producer | None:
        """What is known of the producer."""
        return self._producers.get(producer_id)

    def stage(self) -> StagedProducers:
        """Begin an append."""
        return StagedProducers(self._producers)

    def commit(self, staged: StagedProducers) -> list[AbortedTxn]:
        """Make the staged changes count; answers the aborted transactions that they complete."""
        self._producers.update(staged.changed)
        if not staged.aborted:
            return []
        unstable = self.first_unstable_offset()
        return [
            txn if unstable is None else txn._replace(last_stable_offset=unstable)
            for txn in staged.aborted
        ]

    def first_unstable_offset(self) -> int | None:
        """First offset of the earliest open transaction, None when there is none."""
        firsts = [p.txn_first_offset for p in self._producers.values() if p.txn_first_offset >= 0]
        return min(firsts, default=None)

    def clear(self, end_offset: int) -> None:
        """Forget everything: the log starts anew."""
        self._producers.clear()
        self._idle.clear()
        self.end_offset = end_offset

    def load(self, entries: Iterable[ProducerEntry], end_offset: int) -> None:
        """Start from a snapshot."""
        self.clear(end_offset)
        for entry in entries:
            self._producers[entry.producer_id] = _from_entry(entry)

    def recall(self, recent: "ProducerState") -> None:
        """Take over the older batches that `recent`, built from the end of the log, remembers."""
        for producer_id, producer in list(self._producers.items()):
            known = recent.get(producer_id)
            if (
                known is not None
                and known.epoch == producer.epoch
                and len(known.batches) > len(producer.batches) > 0
                and known.batches[-1].last_offset == producer.batches[-1].last_offset
            ):
                self._producers[producer_id] = producer._replace(batches=known.batches)

    def entries(self) -> list[ProducerEntry]:
        """What goes into a snapshot."""
        return [_to_entry(pid, producer) for pid, producer in self._producers.items()]

    def expire(self, now_ms: int) -> list[int]:
        """Forget producers silent for `producer.id.expiration.ms`; answers their ids.

        Kafka goes by the timestamps of records alone and so forgets, at any restart, a producer
        that writes old records. Here a producer must also have been silent that long since a call
        first found its records old.
        """
        idle: dict[int, tuple[Producer, int]] = {}
        gone: list[int] = []
        for producer_id, producer in self._producers.items():
            if producer.txn_first_offset >= 0:
                continue
            if now_ms - producer.last_timestamp_ms < self.expiration_ms:
                continue
            seen, since_ms = self._idle.get(producer_id, (producer, now_ms))
            if seen is not producer:
                since_ms = now_ms
            if now_ms - since_ms >= self.expiration_ms:
                gone.append(producer_id)
            else:
                idle[producer_id] = producer, since_ms
        self._idle = idle
        for producer_id in gone:
            del self._producers[producer_id]
        return gone


def _from_entry(entry: ProducerEntry) -> Producer:
    batches: tuple[RememberedBatch, ...] = ()
    if entry.last_offset >= 0:
        # A snapshot keeps the last sequence only; the first follows from the number of records.
        first = entry.last_sequence - entry.offset_delta & MAX_SEQUENCE
        batches = (
            RememberedBatch(
                first,
                entry.last_sequence,
                entry.first_offset,
                entry.last_offset,
                entry.timestamp_ms,
            ),
        )
    return Producer(
        entry.producer_epoch,
        batches,
        entry.timestamp_ms,
        entry.coordinator_epoch,
        entry.current_txn_first_offset,
    )


def _to_entry(producer_id: int, producer: Producer) -> ProducerEntry:
    last = producer.batches[-1] if producer.batches else None
    return ProducerEntry(
        producer_id,
        producer.epoch,
        last.last_sequence if last else NO_SEQUENCE,
        last.last_offset if last else NO_OFFSET,
        last.last_offset - last.first_offset if last else 0,
        producer.last_timestamp_ms,
        producer.coordinator_epoch,
        producer.txn_first_offset,
    )
