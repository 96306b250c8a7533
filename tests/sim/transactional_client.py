"""A transactional application under simulation, and what may be believed of its transactions.

It speaks transaction version 2 to the real coordinator. When it is in doubt it does what
applications do: it sends the same again, and after a fatal error it starts anew with
InitProducerId, which ends what it left open.
"""

import random
from dataclasses import dataclass, field
from enum import Enum

from tests.sim.broker import SimBroker
from tierbroker.base.errors import ApiError
from tierbroker.base.pending import Pending
from tierbroker.hot.log import AppendResult
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import read_header
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.replication.partition import ACKS_ALL
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

INIT_VERSION, END_VERSION = 5, 5
TIMEOUT_MS = 60_000


class Outcome(Enum):
    """What the application was told of a transaction's end."""

    OPEN = "open"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"
    """A commit was asked for and never answered; a new start ended what was left of it."""


@dataclass
class Transaction:
    """Values by topic, and how it ended as far as the application knows."""

    values: dict[str, list[bytes]] = field(default_factory=dict)
    outcome: Outcome = Outcome.OPEN


IN_DOUBT = (Outcome.OPEN, Outcome.COMMITTING)


class Step(Enum):
    """Where the application stands; it waits for at most one answer at a time."""

    START = "start"
    STARTING = "starting"
    READY = "ready"
    WRITING = "writing"
    ENDING = "ending"


@dataclass
class Application:
    """One transactional id that writes to several topics."""

    transactional_id: str
    topics: tuple[str, ...]
    transactions: list[Transaction] = field(default_factory=list)
    step: Step = Step.START
    life: int = -1
    producer_id: int = -1
    epoch: int = -1
    sequences: dict[str, int] = field(default_factory=dict)
    count: int = 0
    _batch: tuple[str, int, list[Record]] | None = None
    _commit: bool = False

    @property
    def settled(self) -> bool:
        """Nothing is open or in doubt on its side."""
        return self.step is Step.READY and not (
            self.transactions and self.transactions[-1].outcome in IN_DOUBT
        )

    def act(self, broker: SimBroker, life: int, rng: random.Random) -> None:
        """The next step, or the last one again when the broker it was sent to is gone."""
        lost = self.life != life
        self.life = life
        if self.step is Step.START or (self.step is Step.STARTING and lost):
            self._init(broker, life)
        elif self.step is Step.READY:
            self._next(broker, life, rng)
        elif self.step is Step.WRITING and lost:
            self._write(broker, life)
        elif self.step is Step.ENDING and lost:
            self._end(broker, life)

    def finish(self, broker: SimBroker, life: int) -> None:
        """As `act`, towards an end: a transaction that is open is committed."""
        if self.step is Step.READY and not self.settled:
            self.life = life
            self._commit = True
            self._end(broker, life)
        elif self.step is not Step.READY:
            self.act(broker, life, random.Random(0))

    # -- starting ------------------------------------------------------------------------------

    def _init(self, broker: SimBroker, life: int) -> None:
        self.step = Step.STARTING
        request = InitProducerIdRequest(
            transactional_id=self.transactional_id,
            transaction_timeout_ms=TIMEOUT_MS,
            producer_id=-1,
            producer_epoch=-1,
        )

        def answered(answer: Pending[InitProducerIdResponse]) -> None:
            if self.life != life or self.step is not Step.STARTING:
                return
            response = answer.result()
            if response.error_code:
                self.step = Step.START
                return
            self.producer_id, self.epoch = response.producer_id, response.producer_epoch
            self.sequences.clear()
            if self.transactions:
                last = self.transactions[-1]
                last.outcome = _AFTER_A_NEW_START.get(last.outcome, last.outcome)
            self.step = Step.READY

        broker.transactions.init_producer_id(request, INIT_VERSION).on_done(answered)

    # -- a transaction -------------------------------------------------------------------------

    def _next(self, broker: SimBroker, life: int, rng: random.Random) -> None:
        if self.settled:
            self.transactions.append(Transaction())
        transaction = self.transactions[-1]
        if transaction.values and rng.random() < 0.4:
            self._commit = rng.random() < 0.6
            self._end(broker, life)
            return
        if rng.random() < 0.03:
            self.step = Step.START  # the application itself falls over
            return
        topic = rng.choice(self.topics)
        records = [self._record(slot, broker) for slot in range(rng.randint(1, 3))]
        values = transaction.values.setdefault(topic, [])
        values += [record.value for record in records if record.value is not None]
        self._batch = topic, self.sequences.get(topic, 0), records
        self._write(broker, life)

    def _record(self, slot: int, broker: SimBroker) -> Record:
        self.count += 1
        value = f"{self.transactional_id}.{self.count}".encode()
        return Record(slot, broker.clock.now_ms(), None, value)

    def _write(self, broker: SimBroker, life: int) -> None:
        assert self._batch is not None
        self.step = Step.WRITING
        topic, sequence, records = self._batch
        batch = bytearray(
            build_batch(
                records,
                producer_id=self.producer_id,
                producer_epoch=self.epoch,
                base_sequence=sequence,
                transactional=True,
            )
        )
        partition = broker.partition(topic)

        def done(result: AppendResult | ApiError) -> None:
            if self.life != life or self.step is not Step.WRITING:
                return
            if isinstance(result, ApiError):
                self._failed(result.retriable)
                return
            self.sequences[topic] = sequence + len(records)
            self.step = Step.READY

        def admitted(code: ErrorCode) -> None:
            if code is ErrorCode.NONE:
                header = read_header(batch)
                partition.append(batch, header, ACKS_ALL, done, AppendOrigin.CLIENT_2)
            elif self.life == life and self.step is Step.WRITING:
                self._failed(code in _RETRIABLE)

        broker.gate.admit(
            self.transactional_id,
            self.producer_id,
            self.epoch,
            partition,
            implicit=True,
            then=admitted,
            first_sequence=sequence,
        )

    def _failed(self, retriable: bool) -> None:
        if retriable:
            self.life = -1  # the same once more
        else:
            self.step = Step.START

    def _end(self, broker: SimBroker, life: int) -> None:
        self.step = Step.ENDING
        transaction = self.transactions[-1]
        if self._commit:
            transaction.outcome = Outcome.COMMITTING
        request = EndTxnRequest(
            self.transactional_id, self.producer_id, self.epoch, committed=self._commit
        )

        def answered(answer: Pending[EndTxnResponse]) -> None:
            if self.life != life or self.step is not Step.ENDING:
                return
            response = answer.result()
            code = ErrorCode(response.error_code)
            if code is not ErrorCode.NONE:
                self._failed(code in _RETRIABLE)
                return
            transaction.outcome = Outcome.COMMITTED if self._commit else Outcome.ABORTED
            self.producer_id, self.epoch = response.producer_id, response.producer_epoch
            self.sequences.clear()
            self.step = Step.READY

        broker.transactions.end_txn(request, END_VERSION).on_done(answered)


_AFTER_A_NEW_START = {Outcome.OPEN: Outcome.ABORTED, Outcome.COMMITTING: Outcome.UNKNOWN}
_RETRIABLE = frozenset(
    {
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.KAFKA_STORAGE_ERROR,
    }
)


def check_transactions(applications: list[Application], committed: dict[str, list[bytes]]) -> None:
    """All of a committed transaction can be read, once and in order, and nothing of an aborted."""
    for application in applications:
        for number, transaction in enumerate(application.transactions):
            where = f"transaction {number} of {application.transactional_id}"
            seen = {
                topic: [value for value in committed[topic] if value in set(values)]
                for topic, values in transaction.values.items()
            }
            if transaction.outcome is Outcome.COMMITTED:
                assert seen == transaction.values, f"{where} was committed: {seen}"
            elif transaction.outcome is Outcome.UNKNOWN:
                whole = {topic: values for topic, values in seen.items() if values}
                assert whole in ({}, transaction.values), f"{where} is there in part: {seen}"
            else:
                assert not any(seen.values()), f"{where} was not committed: {seen}"
