"""Admits transactional batches: none reaches a log unless its transaction is known to be open.

A batch that nobody's coordinator knows of would open a transaction that no marker ever ends, and
hold up every reader of committed records. So the first batch of a transaction in a partition asks
the coordinator (KIP-890); from then on the log itself says that the transaction is open. Clients
of the new protocol have their partitions added by asking; others have added them before.

Calls for one producer and partition come back in the order in which they were made: one question
is under way for a producer at a time, and what comes meanwhile waits for the next one.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from tierbroker.base.clock import Clock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import ApiError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.records.batch import NO_SEQUENCE
from tierbroker.replication.partition import Partition
from tierbroker.wire.error_codes import ErrorCode, code_of

_RETRY_BACKOFF_S = 0.02
_RETRY_MAX_S = 0.1
"""How often and how long Kafka asks again while the transaction before is being completed
(add.partitions.to.txn.retry.backoff.ms, add.partitions.to.txn.retry.backoff.max.ms)."""
_REMEMBERED_REFUSALS = 1000
_BUMP_VERSION = 2

Then = Callable[[ErrorCode], None]


class Coordinator(Protocol):
    """What the gate asks of the transaction coordinator."""

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        *,
        transaction_version: int,
    ) -> Pending[ErrorCode]:
        """Add the partitions to the producer's transaction, which it may begin."""

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        """Whether the partitions are in the producer's transaction."""


class _Call(NamedTuple):
    partition: Partition
    transactional_id: str
    producer_epoch: int
    implicit: bool
    knows_abortable: bool
    first_sequence: int
    then: Then

    @property
    def question(self) -> tuple[str, int, bool]:
        """What calls have in common that one question is put for."""
        return self.transactional_id, self.producer_epoch, self.implicit


class _Producer:
    """The calls of one producer id that are not answered yet."""

    __slots__ = (
        "_asked",
        "_asking",
        "_attempts_end",
        "_gate",
        "_producer_id",
        "_unanswered",
        "busy",
        "waiting",
    )

    def __init__(self, gate: "TransactionGate", producer_id: int) -> None:
        self._gate = gate
        self._producer_id = producer_id
        self._asked: list[_Call] = []
        self._asking = False
        self._attempts_end = 0.0
        self._unanswered: Counter[Partition] = Counter()
        self.waiting: dict[tuple[str, int, bool], list[_Call]] = {}
        """The calls of each question that comes next, in the order of the questions."""
        self.busy = False
        """A question is under way, or its answer is being told."""

    def holds(self, partition: Partition) -> bool:
        """Whether a call for the partition is not answered yet."""
        return self._unanswered[partition] > 0

    def wait(self, call: _Call) -> None:
        """Let the call be among those that the next questions are for."""
        self.waiting.setdefault(call.question, []).append(call)
        self._unanswered[call.partition] += 1

    def ask(self) -> None:
        """Put the next question, for all calls that it answers.

        A request may need hundreds of questions that are answered at once: they are put by one
        loop, not each from within the answer to the one before.
        """
        if self._asking:
            return
        self._asking = True
        try:
            self._ask_all()
        finally:
            self._asking = False
        if not self.busy and not self.waiting:
            self._gate.forget(self._producer_id)

    def _ask_all(self) -> None:
        while self.waiting and not self.busy:
            self._asked = self.waiting.pop(next(iter(self.waiting)))
            self.busy = True
            self._attempts_end = self._gate.clock.monotonic() + _RETRY_MAX_S
            self._put()

    def _put(self) -> None:
        call = self._asked[0]
        places = {call.partition.topic_partition for call in self._asked}
        coordinator = self._gate.coordinator
        whose = call.transactional_id, self._producer_id, call.producer_epoch
        if not call.implicit:
            verified = coordinator.verify(*whose, places)
            self._tell(verified if isinstance(verified, dict) else dict.fromkeys(places, verified))
            return
        answer = coordinator.add_partitions(*whose, places, transaction_version=_BUMP_VERSION)
        answer.on_done(self._on_added)

    def _on_added(self, answer: Pending[ErrorCode]) -> None:
        try:
            code = answer.result()
        except ApiError as error:
            code = code_of(error)
        clock, deadlines = self._gate.clock, self._gate.deadlines
        if (
            code == ErrorCode.CONCURRENT_TRANSACTIONS
            and clock.monotonic() + _RETRY_BACKOFF_S < self._attempts_end
        ):
            deadlines.add(self, _RETRY_BACKOFF_S)
            return
        self._tell({call.partition.topic_partition: code for call in self._asked})
        self.ask()

    def expire(self) -> None:
        """The back-off is over: ask again."""
        self._put()

    def _tell(self, codes: dict[TopicPartition, ErrorCode]) -> None:
        for call in self._asked:
            code = codes.get(call.partition.topic_partition, ErrorCode.UNKNOWN_SERVER_ERROR)
            call.then(self._gate.settle(self._producer_id, call, code))
        for call in self._asked:
            self._unanswered[call.partition] -= 1
        self._asked = []
        self.busy = False


class TransactionGate:
    """All transactional batches pass here before they are queued. Loop thread only."""

    def __init__(self, coordinator: Coordinator, deadlines: Deadlines, clock: Clock) -> None:
        self.coordinator = coordinator
        self.deadlines = deadlines
        self.clock = clock
        self._producers: dict[int, _Producer] = {}
        self._refused: OrderedDict[tuple[int, int, TopicPartition], int] = OrderedDict()
        self._held = False

    def hold(self) -> None:
        """Ask nothing until `let_go`."""
        self._held = True

    def let_go(self) -> None:
        """Put one question for all calls since `hold`: those of one request."""
        self._held = False
        if self._producers:
            for producer in list(self._producers.values()):
                if not producer.busy:
                    producer.ask()

    def holds(self, producer_id: int) -> bool:
        """Whether a call of the producer waits for its answer: nothing may overtake that one."""
        return producer_id in self._producers

    def admit(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partition: Partition,
        *,
        implicit: bool,
        then: Then,
        knows_abortable: bool = True,
        first_sequence: int = NO_SEQUENCE,
    ) -> None:
        """Call `then` with NONE when a batch may be queued, in that very call, or with the error.

        `implicit`: asking adds the partition to the transaction (Produce 12, TxnOffsetCommit 5),
        else it must have been added. `knows_abortable`: the client's version has
        TRANSACTION_ABORTABLE; others get INVALID_TXN_STATE. Errors are those of Kafka's
        AddPartitionsToTxnManager.
        """
        producer = self._producers.get(producer_id)
        if producer is None or not producer.holds(partition):
            log = partition.log
            known = None if log is None else log.producer_state.get(producer_id)
            if known is not None:
                if producer_epoch < known.epoch:
                    then(ErrorCode.INVALID_PRODUCER_EPOCH)
                    return
                if producer_epoch == known.epoch and known.txn_first_offset >= 0:
                    then(ErrorCode.NONE)
                    return
        if producer is None:
            producer = self._producers[producer_id] = _Producer(self, producer_id)
        producer.wait(
            _Call(
                partition,
                transactional_id,
                producer_epoch,
                implicit,
                knows_abortable,
                first_sequence,
                then,
            )
        )
        if not self._held:
            producer.ask()

    def settle(self, producer_id: int, call: _Call, code: ErrorCode) -> ErrorCode:
        """What the coordinator's answer means for the batch."""
        place = producer_id, call.producer_epoch, call.partition.topic_partition
        refused = self._refused.pop(place, None)
        if code == ErrorCode.NONE:
            if refused is not None and call.first_sequence > refused:
                # One before it was refused and comes again: this one must not go first.
                self._refused[place] = refused
                return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
            return code
        if call.first_sequence >= 0:
            lowest = call.first_sequence if refused is None else min(call.first_sequence, refused)
            self._refused[place] = lowest
            if len(self._refused) > _REMEMBERED_REFUSALS:
                self._refused.popitem(last=False)
        if code == ErrorCode.PRODUCER_FENCED:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        if code == ErrorCode.TRANSACTION_ABORTABLE and not call.knows_abortable:
            return ErrorCode.INVALID_TXN_STATE
        return code

    def forget(self, producer_id: int) -> None:
        """Every call of the producer is answered."""
        self._producers.pop(producer_id, None)
