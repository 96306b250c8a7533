"""What is known of one transactional id, and how each step of its protocol changes that.

Pure: the functions here answer new values and decide nothing about whether the step is allowed.
The values become the state of the transactional id once their record is flushed, not before.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from tierbroker.base.ids import TopicPartition
from tierbroker.transactions.state import TransactionState

NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
MAX_EPOCH = 0x7FFF
EPOCH_BUMP_VERSION = 2
"""The transaction version from which on every transaction ends with a bump of the epoch."""


@dataclass(frozen=True, slots=True)
class TransactionValues:
    """One record of `__transaction_state`; times in milliseconds since 1970."""

    producer_id: int
    producer_epoch: int
    """-1 only while the id is new and its first record not yet flushed."""
    timeout_ms: int
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    start_ms: int = -1
    update_ms: int = -1
    previous_producer_id: int = NO_PRODUCER_ID
    """The producer id before the last step: tells a retry across a change of producer ids."""
    next_producer_id: int = NO_PRODUCER_ID
    """The producer id that comes into force with the last marker, if the epoch is used up."""
    last_producer_epoch: int = NO_PRODUCER_EPOCH
    """The epoch that the producer had before; in memory alone, as in Kafka."""
    client_version: int = 0
    """The transaction version that the producer of the last step speaks."""

    @property
    def is_exhausted(self) -> bool:
        """Whether the producer id has no epoch left but the one that fences it."""
        return is_exhausted(self.producer_epoch)


def is_exhausted(epoch: int) -> bool:
    """Whether no producer is given a higher epoch; one is kept for fencing."""
    return epoch >= MAX_EPOCH - 1


def new_values(producer_id: int, timeout_ms: int, now_ms: int) -> TransactionValues:
    """An id that nobody has used yet; `bumped` makes it usable."""
    return TransactionValues(producer_id, NO_PRODUCER_EPOCH, timeout_ms, update_ms=now_ms)


def bumped(
    values: TransactionValues, timeout_ms: int, expected_epoch: int | None, now_ms: int
) -> TransactionValues | None:
    """The next epoch for a producer that initializes, or None if it is fenced.

    A producer that names its epoch goes on from there (KIP-360). One that names the epoch before
    asks again for what it was given, since nobody else has initialized in between.
    """
    epoch, last = values.producer_epoch + 1, NO_PRODUCER_EPOCH
    if expected_epoch is not None:
        if values.producer_epoch in (expected_epoch, NO_PRODUCER_EPOCH):
            last = values.producer_epoch
        elif expected_epoch == values.last_producer_epoch:
            epoch, last = values.producer_epoch, values.last_producer_epoch
        else:
            return None
    return _initialized(values, values.producer_id, epoch, last, timeout_ms, now_ms)


def rotated(
    values: TransactionValues, producer_id: int, timeout_ms: int, now_ms: int, *, keep_last: bool
) -> TransactionValues:
    """A new producer id for a producer that initializes when its epochs are used up."""
    last = values.producer_epoch if keep_last else NO_PRODUCER_EPOCH
    return _initialized(values, producer_id, 0, last, timeout_ms, now_ms)


def with_partitions(
    values: TransactionValues, added: Collection[TopicPartition], now_ms: int, version: int
) -> TransactionValues:
    """The transaction has these partitions too; with the first ones it begins."""
    begins = values.state.is_quiet
    return replace(
        values,
        previous_producer_id=values.producer_id,
        state=TransactionState.ONGOING,
        partitions=values.partitions.union(added),
        start_ms=now_ms if begins else values.start_ms,
        update_ms=now_ms,
        client_version=version,
    )


def fenced(values: TransactionValues) -> TransactionValues:
    """The epoch that no producer has, for the abort of a transaction of the old protocol."""
    return replace(
        values,
        producer_epoch=min(values.producer_epoch + 1, MAX_EPOCH),
        last_producer_epoch=NO_PRODUCER_EPOCH,
    )


def decided(
    values: TransactionValues,
    now_ms: int,
    *,
    commit: bool,
    version: int,
    next_producer_id: int = NO_PRODUCER_ID,
) -> TransactionValues:
    """The outcome is certain, but for the markers. From version 2 on the epoch is bumped.

    Without an open transaction (an abort of version 2) it counts as begun now.
    """
    epoch, last = values.producer_epoch, values.last_producer_epoch
    if version >= EPOCH_BUMP_VERSION:
        epoch, last = min(epoch + 1, MAX_EPOCH), epoch
    return replace(
        values,
        previous_producer_id=values.producer_id,
        next_producer_id=next_producer_id,
        producer_epoch=epoch,
        last_producer_epoch=last,
        state=TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT,
        start_ms=now_ms if values.state.is_quiet else values.start_ms,
        update_ms=now_ms,
        client_version=version,
    )


def completed(values: TransactionValues, now_ms: int) -> TransactionValues:
    """Every partition has its marker. The next producer id, if there is one, comes into force."""
    assert values.state.is_decided
    commits = values.state is TransactionState.PREPARE_COMMIT
    rotates = (
        values.client_version >= EPOCH_BUMP_VERSION and values.next_producer_id != NO_PRODUCER_ID
    )
    return replace(
        values,
        previous_producer_id=values.producer_id,
        producer_id=values.next_producer_id if rotates else values.producer_id,
        next_producer_id=NO_PRODUCER_ID,
        producer_epoch=0 if rotates else values.producer_epoch,
        state=TransactionState.COMPLETE_COMMIT if commits else TransactionState.COMPLETE_ABORT,
        partitions=frozenset(),
        update_ms=now_ms,
    )


def by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    """The partitions of each topic, all in their order."""
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for topic, partition in partitions:
        topics[topic].append(partition)
    return {topic: sorted(topics[topic]) for topic in sorted(topics)}


def _initialized(
    values: TransactionValues, producer_id: int, epoch: int, last: int, timeout_ms: int, now_ms: int
) -> TransactionValues:
    return replace(
        values,
        previous_producer_id=values.producer_id,
        producer_id=producer_id,
        producer_epoch=epoch,
        last_producer_epoch=last,
        timeout_ms=timeout_ms,
        state=TransactionState.EMPTY,
        partitions=frozenset(),
        start_ms=-1,
        update_ms=now_ms,
    )
