"""The gate against a coordinator that answers when it is told to."""

from collections.abc import Collection
from typing import Any, cast

import pytest

from tests.log_setup import make_batch
from tierbroker.base.clock import ManualClock
from tierbroker.base.deadlines import Deadlines
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.broker.txn_gate import TransactionGate
from tierbroker.hot.producer_state import ProducerState
from tierbroker.wire.error_codes import ErrorCode

OK = ErrorCode.NONE
BUSY = ErrorCode.CONCURRENT_TRANSACTIONS


class FakeCoordinator:
    def __init__(self) -> None:
        self.added: list[tuple[set[TopicPartition], Pending[ErrorCode]]] = []
        self.known: set[TopicPartition] = set()
        self.refusal: ErrorCode | None = None
        self.verified: list[set[TopicPartition]] = []

    def add_partitions(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
        *,
        transaction_version: int,
    ) -> Pending[ErrorCode]:
        assert (transactional_id, transaction_version) == ("tx", 2)
        answer: Pending[ErrorCode] = Pending()
        self.added.append((set(partitions), answer))
        return answer

    def verify(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Collection[TopicPartition],
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        self.verified.append(set(partitions))
        if self.refusal is not None:
            return self.refusal
        return {
            place: OK if place in self.known else ErrorCode.TRANSACTION_ABORTABLE
            for place in partitions
        }


class FakeLog:
    def __init__(self) -> None:
        self.producer_state = ProducerState()


class FakePartition:
    def __init__(self, index: int) -> None:
        self.topic_partition = TopicPartition("t", index)
        self.log = FakeLog()

    def begin(self, producer_id: int = 1, epoch: int = 0) -> None:
        _, header = make_batch(producer_id=producer_id, producer_epoch=epoch, transactional=True)
        staged = self.log.producer_state.stage()
        staged.accept(header, 0)
        self.log.producer_state.commit(staged)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.scheduler = ManualScheduler()
        self.coordinator = FakeCoordinator()
        deadlines = Deadlines(self.scheduler, self.clock)
        self.gate = TransactionGate(self.coordinator, deadlines, self.clock)
        self.partitions = [FakePartition(index) for index in range(3)]
        self.told: list[tuple[str, ErrorCode]] = []

    def admit(self, name: str, partition: int = 0, *, epoch: int = 0, **how: Any) -> None:
        self.gate.admit(
            "tx",
            1,
            epoch,
            cast("Any", self.partitions[partition]),
            implicit=how.pop("implicit", True),
            then=lambda code: self.told.append((name, code)),
            **how,
        )

    def answer(self, code: ErrorCode) -> None:
        next(pending for _, pending in self.coordinator.added if not pending.done).resolve(code)

    def wait(self, ms: int) -> None:
        self.clock.advance(ms)
        self.scheduler.advance(ms / 1000)


@pytest.fixture
def world() -> World:
    return World()


def test_a_batch_waits_until_its_partition_is_added(world: World) -> None:
    world.admit("a")
    assert not world.told
    world.answer(OK)
    assert world.told == [("a", OK)]


def test_the_log_knows_of_an_open_transaction(world: World) -> None:
    world.partitions[0].begin()
    world.admit("a")
    assert world.told == [("a", OK)]
    assert not world.coordinator.added
    world.admit("b", epoch=1)
    assert len(world.coordinator.added) == 1


def test_a_producer_is_held_until_its_calls_are_answered(world: World) -> None:
    assert not world.gate.holds(1)
    world.admit("a")
    world.admit("b", partition=1)
    assert world.gate.holds(1)
    assert not world.gate.holds(2)
    world.answer(OK)
    assert world.gate.holds(1)
    world.answer(OK)
    assert not world.gate.holds(1)


def test_a_stale_epoch_is_refused_without_asking(world: World) -> None:
    world.partitions[0].begin(epoch=3)
    world.admit("a", epoch=2)
    assert world.told == [("a", ErrorCode.INVALID_PRODUCER_EPOCH)]
    assert not world.coordinator.added


def test_calls_for_a_partition_keep_their_order(world: World) -> None:
    world.admit("a")
    world.admit("b")
    world.admit("c", partition=1)
    # Meanwhile it is open in the log; still nothing overtakes.
    world.partitions[0].begin()
    world.admit("d")
    world.answer(OK)
    assert world.told == [("a", OK)]
    world.answer(OK)
    assert [name for name, _ in world.told] == ["a", "b", "c", "d"]
    world.admit("e")
    assert world.told[-1] == ("e", OK)


def test_one_request_asks_once_for_all_its_partitions(world: World) -> None:
    world.gate.hold()
    world.admit("a")
    world.admit("b", partition=1)
    assert not world.coordinator.added
    world.gate.let_go()
    ((asked, _),) = world.coordinator.added
    assert {place.partition for place in asked} == {0, 1}
    world.answer(OK)
    assert world.told == [("a", OK), ("b", OK)]


def test_what_is_asked_within_an_answer_comes_behind_it(world: World) -> None:
    def again(code: ErrorCode) -> None:
        world.told.append(("a", code))
        world.admit("c")

    partition = cast("Any", world.partitions[0])
    world.gate.hold()
    world.gate.admit("tx", 1, 0, partition, implicit=True, then=again)
    world.admit("b")
    world.gate.let_go()
    world.answer(OK)
    world.answer(OK)
    assert [name for name, _ in world.told] == ["a", "b", "c"]


def test_an_old_client_must_have_added_its_partition(world: World) -> None:
    world.coordinator.known.add(TopicPartition("t", 0))
    world.admit("a", implicit=False)
    world.admit("b", partition=1, implicit=False)
    world.admit("c", partition=1, implicit=False, knows_abortable=False)
    assert world.told == [
        ("a", OK),
        ("b", ErrorCode.TRANSACTION_ABORTABLE),
        ("c", ErrorCode.INVALID_TXN_STATE),
    ]


def test_a_fenced_producer_is_told_that_its_epoch_is_invalid(world: World) -> None:
    world.coordinator.refusal = ErrorCode.PRODUCER_FENCED
    world.admit("a", implicit=False)
    world.admit("b")
    world.answer(ErrorCode.PRODUCER_FENCED)
    assert [code for _, code in world.told] == [ErrorCode.INVALID_PRODUCER_EPOCH] * 2


def test_a_transaction_that_is_being_completed_is_waited_for(world: World) -> None:
    world.admit("a")
    world.answer(BUSY)
    world.admit("b")
    assert not world.told
    world.wait(30)
    world.answer(OK)
    world.answer(OK)
    assert world.told == [("a", OK), ("b", OK)]


def test_it_is_not_waited_for_very_long(world: World) -> None:
    world.admit("a")
    world.answer(BUSY)
    while not world.told:
        world.wait(30)
        world.answer(BUSY)
    assert world.told == [("a", BUSY)]
    assert 3 <= len(world.coordinator.added) <= 5


def test_a_question_that_fails_is_an_answer(world: World) -> None:
    world.admit("a")
    world.coordinator.added[0][1].fail(KafkaStorageError("no disk"))
    assert world.told == [("a", ErrorCode.KAFKA_STORAGE_ERROR)]


def test_nothing_goes_before_a_batch_that_was_refused(world: World) -> None:
    world.admit("a", first_sequence=5)
    world.answer(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
    world.admit("b", first_sequence=7)
    world.answer(OK)
    world.admit("a", first_sequence=5)
    world.answer(OK)
    world.admit("b", first_sequence=7)
    world.answer(OK)
    assert [code for _, code in world.told] == [
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
        OK,
        OK,
    ]


def test_hundreds_of_questions_in_one_request_do_not_pile_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batches of one producer with an epoch each: all but the first are refused at once.
    refused: Pending[ErrorCode] = Pending()
    refused.resolve(ErrorCode.PRODUCER_FENCED)
    first: Pending[ErrorCode] = Pending()
    answers = iter([first])
    monkeypatch.setattr(
        world.coordinator, "add_partitions", lambda *_, **__: next(answers, refused)
    )
    world.partitions = [FakePartition(index) for index in range(1500)]
    world.gate.hold()
    for index in range(1500):
        world.admit(str(index), index, epoch=index)
    world.gate.let_go()
    assert not world.told
    first.resolve(OK)
    assert [int(name) for name, _ in world.told] == list(range(1500))
    assert {code for _, code in world.told[1:]} == {ErrorCode.INVALID_PRODUCER_EPOCH}
    world.admit("later", epoch=1500)
    assert world.told[-1] == ("later", ErrorCode.INVALID_PRODUCER_EPOCH)
