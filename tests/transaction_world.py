"""A transaction coordinator with a log, partitions, timers and producer ids of a test's making.

The log of `__transaction_state` is real bytes (`GroupLog`); `crash` loses what was not flushed.
"""

import gc
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from tests.group_log import GroupLog
from tests.group_world import ManualTimers
from tierbroker.base.clock import ManualClock
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.coordinator import TransactionCoordinator
from tierbroker.transactions.ports import Marker, MarkerDone
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_transactions import TransactionState
from tierbroker.wire.messages.end_txn import EndTxnRequest, EndTxnResponse
from tierbroker.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tierbroker.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
)

ID = "t"
A, B, C = TopicPartition("a", 0), TopicPartition("b", 0), TopicPartition("b", 1)


if TYPE_CHECKING:
    from tierbroker.base.errors import ApiError


class CountedIds:
    """Producer ids 1000, 1001, ...; `hold` makes those who ask wait for `grant`."""

    def __init__(self) -> None:
        self.hold = False
        self.refuse: ApiError | None = None
        self._waiting: deque[Pending[int]] = deque()
        self._next = 1_000

    def next(self) -> Pending[int]:
        answer: Pending[int] = Pending()
        self._waiting.append(answer)
        if not self.hold:
            self.grant()
        return answer

    def grant(self) -> None:
        """Whoever waits gets an id, or `refuse`."""
        while self._waiting:
            answer = self._waiting.popleft()
            if self.refuse is not None:
                answer.fail(self.refuse)
                continue
            self._next += 1
            answer.resolve(self._next - 1)


class MarkedPartitions:
    """Where markers go. `answers` are the errors that the next writes meet; `hold` delays them."""

    def __init__(self) -> None:
        self.hold = False
        self.written: list[tuple[TopicPartition, Marker]] = []
        """Those that are visible."""
        self.asked = 0
        self.answers: dict[TopicPartition, list[ErrorCode]] = {}
        self.waiting: list[Callable[[], None]] = []

    def write(self, partition: TopicPartition, marker: Marker, done: MarkerDone) -> None:
        self.asked += 1

        def answer() -> None:
            errors = self.answers.get(partition)
            error = errors.pop(0) if errors else ErrorCode.NONE
            if error is ErrorCode.NONE:
                self.written.append((partition, marker))
            done(error)

        if self.hold:
            self.waiting.append(answer)
        else:
            answer()

    def release(self, count: int | None = None) -> None:
        """The oldest writes (all of them, unless told) get their answer."""
        for _ in range(len(self.waiting) if count is None else count):
            self.waiting.pop(0)()


class TransactionWorld:
    """One coordinator of one partition, unless told otherwise; loaded."""

    def __init__(
        self,
        config: TransactionConfig | None = None,
        *,
        flush_at_once: bool = True,
        feature_level: int = 2,
        load: bool = True,
        log: GroupLog | None = None,
        markers: "MarkedPartitions | None" = None,
    ) -> None:
        self.config = config or TransactionConfig(partitions=1)
        self.feature_level = feature_level
        self.log = log or GroupLog(auto_flush=flush_at_once)
        self.clock = ManualClock()
        self.producer_ids = CountedIds()
        self.markers = markers or MarkedPartitions()
        self.timers = ManualTimers(self.clock)
        self.turns: deque[Callable[[], None]] = deque()
        self.epoch = 0
        self.coordinator = self._coordinator()
        if load:
            self.load()

    def _coordinator(self) -> TransactionCoordinator:
        return TransactionCoordinator(
            self.config,
            self.log,
            self.log,
            self.producer_ids,
            self.markers,
            self.timers,
            self.clock,
            self.turns.append,
            feature_level=lambda: self.feature_level,
        )

    def load(self) -> None:
        """Lead all partitions."""
        for partition in range(self.config.partitions):
            self.coordinator.load(partition, self.epoch)
        self.run_turns()

    def run_turns(self) -> None:
        """Until nothing asks for another turn."""
        while self.turns:
            self.turns.popleft()()

    def slowest_turn(self) -> float:
        """Run all turns; the CPU seconds of the longest, without the collector's."""
        slowest = 0.0
        gc.disable()
        while self.turns:
            begun = time.thread_time()
            self.turns.popleft()()
            slowest = max(slowest, time.thread_time() - begun)
        gc.enable()
        return slowest

    def crash(self) -> None:
        """Power off and on: what was not flushed is gone, and so is everybody who waited."""
        self.log.crash()
        self.timers = ManualTimers(self.clock)
        self.turns = deque()
        self.markers.waiting.clear()
        self.producer_ids._waiting.clear()
        self.epoch += 1
        self.coordinator = self._coordinator()
        self.load()

    def advance(self, ms: int) -> None:
        self.timers.advance(ms)
        self.run_turns()

    # --- requests, with what tests do not care about filled in

    def init(
        self,
        transactional_id: str = ID,
        *,
        timeout_ms: int = 60_000,
        expected: tuple[int, int] = (-1, -1),
    ) -> Pending[InitProducerIdResponse]:
        return self.coordinator.init_producer_id(
            InitProducerIdRequest(transactional_id, timeout_ms, *expected), 6
        )

    def producer(self, transactional_id: str = ID) -> tuple[int, int]:
        """Initialize; (producer id, epoch)."""
        answer = self.init(transactional_id).result()
        assert answer.error_code == ErrorCode.NONE
        return answer.producer_id, answer.producer_epoch

    def add(
        self,
        producer: tuple[int, int],
        *partitions: TopicPartition,
        transactional_id: str = ID,
        version: int = 2,
    ) -> Pending[ErrorCode]:
        return self.coordinator.add_partitions(
            transactional_id, *producer, partitions, transaction_version=version
        )

    def verify(
        self, producer: tuple[int, int], *partitions: TopicPartition, transactional_id: str = ID
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        return self.coordinator.verify(transactional_id, *producer, partitions)

    def end(
        self,
        producer: tuple[int, int],
        *,
        commit: bool = True,
        transactional_id: str = ID,
        version: int = 5,
    ) -> Pending[EndTxnResponse]:
        return self.coordinator.end_txn(EndTxnRequest(transactional_id, *producer, commit), version)

    def describe(self, transactional_id: str = ID) -> TransactionState:
        (state,) = self.coordinator.describe([transactional_id])
        return state

    def state(self, transactional_id: str = ID) -> str:
        return self.describe(transactional_id).transaction_state

    def listed(
        self,
        *,
        states: Sequence[str] = (),
        producer_ids: Collection[int] = (),
        longer_than_ms: int = -1,
        pattern: str | None = None,
    ) -> ListTransactionsResponse:
        answer = self.coordinator.list_transactions(
            ListTransactionsRequest(list(states), list(producer_ids), longer_than_ms, pattern), 2
        )
        self.run_turns()
        return answer.result()

    def outcomes(self) -> list[tuple[str, int, int, bool]]:
        """(partition, producer id, epoch, commit) of each marker that is visible."""
        return [
            (str(partition), marker.producer_id, marker.producer_epoch, marker.commit)
            for partition, marker in self.markers.written
        ]


def told(answer: EndTxnResponse) -> tuple[int, int]:
    """The (producer id, epoch) of an answer that went well."""
    assert answer.error_code == ErrorCode.NONE, answer
    return answer.producer_id, answer.producer_epoch
