"""What a log knows of its producers: sequence numbers, epochs, the last five batches, open
transactions (Kafka: ProducerStateManager, ProducerAppendInfo).

The state derives from batches that are in the log and never runs ahead of it (INV-8): an append
is checked against a `StagedProducers`, which is committed only after the write succeeded.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from tierbroker.base.errors import (
    InvalidProducerEpochError,
    InvalidTxnStateError,
    OutOfOrderSequenceNumberError,
    TransactionCoordinatorFencedError,
)
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
MAX_EPOCH = 32_767
DEFAULT_EXPIRATION_MS = 86_400_000


class AppendOrigin(IntEnum):
    """Who hands a batch to a leader's log: how much of it is judged (Kafka: AppendOrigin).

    What is replicated, or read back, is not judged at all.
    """

    CLIENT = 0
    """Epoch and sequence must be right."""
    CLIENT_2 = 1
    """The same in a transaction of version 2: a producer that is new here begins with 0."""
    COORDINATOR = 2
    """Offsets of a group, or a marker: they have epochs, and no sequences worth the name."""
    COORDINATOR_2 = 3
    """A marker of a transaction of version 2: it carries a bumped epoch (KIP-890)."""


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


_new_tuple = tuple.__new__
_CLIENT_2 = int(AppendOrigin.CLIENT_2)
_UNKNOWN = Producer(NO_EPOCH, (), -1, -1, NO_OFFSET)


class EndedTransaction(NamedTuple):
    """A transaction with its marker: `aborted` ones go into the transaction index."""

    producer_id: int
    first_offset: int
    marker_offset: int
    aborted: bool


class StagedProducers:
    """Changes that one append would make; nothing counts before `ProducerState.commit`."""

    __slots__ = ("_changed", "_known", "_next", "_run", "begun", "ended", "marked")

    def __init__(self, known: dict[int, Producer]) -> None:
        self._known = known
        self._changed: dict[int, Producer] = {}
        self._next: tuple[int, int, int, int] | None = None
        """Producer id, epoch, sequence and transactional bit of a batch that would go on where
        the last one that was admitted ended."""
        self._run: list[RememberedBatch] = []
        """Batches that did, and are not in `_changed` yet."""
        self.begun: list[tuple[int, int]] | None = None
        """(first offset, producer id) of the transactions that begin, in that order."""
        self.ended: list[EndedTransaction] | None = None
        """Those that end, in the order of their markers."""
        self.marked: set[int] | None = None
        """Producers that got a marker in this append."""

    def admit(
        self, header: BatchHeader, base_offset: int, origin: int = AppendOrigin.CLIENT
    ) -> RememberedBatch | None:
        """Judge a batch of records and stage it; a repeat answers the batch it repeats.

        Raises InvalidProducerEpochError for a fenced producer, OutOfOrderSequenceNumberError for a
        gap, and for a repeat of a batch that is no longer remembered, InvalidTxnStateError for
        a batch outside of the transaction that is open, or of one that a marker just ended.
        """
        _, _, _, _, _, attributes, delta, _, timestamp, producer_id, epoch, first, _ = header
        transactional = attributes & TRANSACTIONAL_BIT
        last = first + delta & MAX_SEQUENCE
        if self._next == (producer_id, epoch, first, transactional):
            # It goes on where the one before ended, as nearly all do when several are appended
            # together: nothing can be wrong. No constructor and no call, here above all.
            self._run.append(
                _new_tuple(
                    RememberedBatch, (first, last, base_offset, base_offset + delta, timestamp)
                )
            )
        else:
            repeated = self._judge(header, base_offset, origin)
            if repeated is not None:
                return repeated
        self._next = producer_id, epoch, last + 1 & MAX_SEQUENCE, transactional
        return None

    def _judge(self, header: BatchHeader, base_offset: int, origin: int) -> RememberedBatch | None:
        """`admit` a batch that does not go on where the one before ended."""
        producer_id, epoch = header.producer_id, header.producer_epoch
        producer = self._get(producer_id)
        if producer is None:
            # Nothing is known: everything of it may have been deleted, so any sequence will do.
            producer = _UNKNOWN
            if origin == _CLIENT_2 and header.base_sequence != 0:
                raise _not_from_0(header)
        elif epoch == producer[0]:
            if origin <= _CLIENT_2:
                first = header.base_sequence
                batches = producer[1]
                expected = batches[-1][1] + 1 & MAX_SEQUENCE if batches else 0
                if first != expected:
                    return _repeated(header, producer, expected)
        elif epoch < producer[0]:
            raise _fenced(header, producer)
        elif header.base_sequence != 0 and origin <= _CLIENT_2:
            raise _not_from_0(header)
        if header.attributes & TRANSACTIONAL_BIT:
            if producer[4] < 0 and self.marked is not None and producer_id in self.marked:
                # It was open when the batch was queued. Nobody would ever end another one.
                raise InvalidTxnStateError(
                    f"the transaction of producer {producer_id} has just been ended"
                )
        elif producer[4] >= 0:
            raise InvalidTxnStateError(
                f"producer {producer_id} sent a batch outside of its open transaction"
            )
        self._stage(producer, header, base_offset)
        return None

    def changed(self) -> dict[int, Producer]:
        """The producers that are not any more as they were."""
        run = self._run
        if run:
            assert self._next is not None
            epoch, batches, _, coordinator_epoch, txn_first = self._changed[self._next[0]]
            kept = (*batches, *run)[-REMEMBERED_BATCHES:]
            self._changed[self._next[0]] = Producer(
                epoch, kept, run[-1].timestamp_ms, coordinator_epoch, txn_first
            )
            self._run = []
        return self._changed

    def _get(self, producer_id: int) -> Producer | None:
        return self.changed().get(producer_id) or self._known.get(producer_id)

    def accept(self, header: BatchHeader, base_offset: int) -> None:
        """Stage a data batch that the log holds or a leader admitted: no judgement."""
        producer_id = header.producer_id
        producer = self._get(producer_id) or _UNKNOWN
        self._next = None
        self._stage(producer, header, base_offset)

    def _stage(self, producer: Producer, header: BatchHeader, base_offset: int) -> None:
        _, _, _, _, _, attributes, delta, _, timestamp, producer_id, new_epoch, first, _ = header
        epoch, batches, _, coordinator_epoch, txn_first = producer
        if txn_first < 0 and attributes & TRANSACTIONAL_BIT:
            txn_first = base_offset
            if self.begun is None:
                self.begun = []
            self.begun.append((base_offset, producer_id))
        # This is done for every batch that comes alone: no constructors here either.
        added = _new_tuple(
            RememberedBatch,
            (first, first + delta & MAX_SEQUENCE, base_offset, base_offset + delta, timestamp),
        )
        kept = (*batches[1 - REMEMBERED_BATCHES :], added) if epoch == new_epoch else (added,)
        self._changed[producer_id] = _new_tuple(
            Producer, (new_epoch, kept, timestamp, coordinator_epoch, txn_first)
        )

    def judge_marker(self, header: BatchHeader, marker: EndTxnMarker, origin: AppendOrigin) -> None:
        """Raise InvalidProducerEpochError or TransactionCoordinatorFencedError for a stale marker.

        The epoch of a version 2 marker is above the one it ends; it may come again with the same
        one when nothing is open any more. A producer that is not known is none of a reason.
        """
        producer_id, epoch = header.producer_id, header.producer_epoch
        producer = self._get(producer_id)
        if producer is None:
            return
        if epoch < producer.epoch or (
            origin == AppendOrigin.COORDINATOR_2
            and epoch == producer.epoch < MAX_EPOCH
            and producer.txn_first_offset >= 0
        ):
            raise _fenced(header, producer)
        if marker.coordinator_epoch < producer.coordinator_epoch:
            raise TransactionCoordinatorFencedError(
                f"a marker for producer {producer_id} has the coordinator epoch "
                f"{marker.coordinator_epoch}, the current one is {producer.coordinator_epoch}"
            )

    def end_transaction(self, header: BatchHeader, marker: EndTxnMarker, offset: int) -> None:
        """Stage a transaction marker that stands at `offset`."""
        producer_id = header.producer_id
        producer = self._get(producer_id) or _UNKNOWN
        if producer.txn_first_offset >= 0:
            aborted = marker.control_type is ControlType.ABORT
            if self.ended is None:
                self.ended = []
            self.ended.append(
                EndedTransaction(producer_id, producer.txn_first_offset, offset, aborted)
            )
        self._next = None
        if self.marked is None:
            self.marked = set()
        self.marked.add(producer_id)
        keep = producer.batches if producer.epoch == header.producer_epoch else ()
        self._changed[producer_id] = Producer(
            header.producer_epoch, keep, header.max_timestamp, marker.coordinator_epoch, NO_OFFSET
        )


def _repeated(header: BatchHeader, producer: Producer, expected: int) -> RememberedBatch:
    first = header.base_sequence
    last = first + header.last_offset_delta & MAX_SEQUENCE
    for batch in producer.batches:
        if batch.first_sequence == first and batch.last_sequence == last:
            return batch
    raise OutOfOrderSequenceNumberError(
        f"producer {header.producer_id} (epoch {header.producer_epoch}) sent sequence {first} "
        f"where {expected} was expected"
    )


def _fenced(header: BatchHeader, producer: Producer) -> InvalidProducerEpochError:
    return InvalidProducerEpochError(
        f"producer {header.producer_id} sent epoch {header.producer_epoch}, "
        f"the current one is {producer.epoch}"
    )


def _not_from_0(header: BatchHeader) -> OutOfOrderSequenceNumberError:
    return OutOfOrderSequenceNumberError(
        f"producer {header.producer_id} began epoch {header.producer_epoch} with sequence "
        f"{header.base_sequence}, not with 0"
    )


class ProducerState:
    """All producers of one log, as of `end_offset` (exclusive)."""

    def __init__(self, expiration_ms: int = DEFAULT_EXPIRATION_MS) -> None:
        self.expiration_ms = expiration_ms
        self.end_offset = 0
        self.open: OrderedDict[int, int] = OrderedDict()
        """Producer ids of the open transactions by their first offsets, in that order."""
        self.ended: deque[EndedTransaction] = deque()
        """Those whose markers may not be below the high watermark yet, in the markers' order."""
        self._producers: dict[int, Producer] = {}
        self._idle: dict[int, tuple[Producer, int]] = {}

    def __len__(self) -> int:
        return len(self._producers)

    def __iter__(self) -> Iterator[tuple[int, Producer]]:
        return iter(self._producers.items())

    def get(self, producer_id: int) -> Producer | None:
        """What is known of the producer."""
        return self._producers.get(producer_id)

    def stage(self, after: StagedProducers | None = None) -> StagedProducers:
        """Begin an append, or its second half, `after` the first has been committed."""
        staged = StagedProducers(self._producers)
        if after is not None:
            staged.marked = after.marked
        return staged

    def aborted_by(self, staged: StagedProducers) -> list[AbortedTxn]:
        """The aborted transactions that the staged changes would complete.

        Their last stable offset is where the earliest other transaction began that was open when
        the marker was written, else the marker's next offset (Kafka:
        ProducerStateManager.lastStableOffset).
        """
        aborted: list[AbortedTxn] = []
        gone: set[int] = set()
        for producer_id, first_offset, marker_offset, is_aborted in staged.ended or ():
            gone.add(first_offset)
            if is_aborted:
                others = chain(self.open, (offset for offset, _ in staged.begun or ()))
                stable = marker_offset + 1
                stable = min(next((at for at in others if at not in gone), stable), stable)
                aborted.append(AbortedTxn(producer_id, first_offset, marker_offset, stable))
        return aborted

    def commit(self, staged: StagedProducers) -> None:
        """Make the staged changes count."""
        self._producers.update(staged.changed())
        if staged.begun:
            self.open.update(staged.begun)
        for ended in staged.ended or ():
            self.open.pop(ended.first_offset, None)
            self.ended.append(ended)

    def first_unstable_offset(self) -> int | None:
        """First offset of the earliest open transaction, None when there is none."""
        return next(iter(self.open), None)

    def last_stable_offset(self, high_watermark: int) -> int:
        """Up to where every transaction is decided, and its marker below the high watermark.

        `high_watermark` only ever rises, short of a truncation.
        """
        ended = self.ended
        while ended and ended[0].marker_offset < high_watermark:
            ended.popleft()
        stable = high_watermark
        if self.open:
            stable = min(stable, next(iter(self.open)))
        for transaction in ended:
            stable = min(stable, transaction.first_offset)
        return stable

    def clear(self, end_offset: int) -> None:
        """Forget everything: the log starts anew."""
        self._producers.clear()
        self.open.clear()
        self.ended.clear()
        self._idle.clear()
        self.end_offset = end_offset

    def load(self, entries: Iterable[ProducerEntry], end_offset: int) -> None:
        """Start from a snapshot."""
        self.clear(end_offset)
        begun: list[tuple[int, int]] = []
        for entry in entries:
            self._producers[entry.producer_id] = _from_entry(entry)
            if entry.current_txn_first_offset >= 0:
                begun.append((entry.current_txn_first_offset, entry.producer_id))
        self.open.update(sorted(begun))

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
