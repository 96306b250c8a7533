"""Transactions as producers and consumers of a partition see them, over a real log and gate."""

import pathlib
from collections.abc import Collection
from typing import Any, cast

import pytest

from tests.broker.wire_calls import batch_of, fetch_request
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.base.turns import ELEMENTS_A_TURN
from tierbroker.broker.handlers import (
    describe_producers,
    fetch,
    list_offsets,
    produce,
    write_txn_markers,
)
from tierbroker.broker.txn_gate import TransactionGate
from tierbroker.broker.txn_markers import PartitionMarkers
from tierbroker.controller.state.topics import OFFSETS_TOPIC
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.fetch import AbortedTransaction
from tierbroker.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tierbroker.wire.produce import PartitionProduceData, ProduceRequest, TopicProduceData

OK = ErrorCode.NONE


class Coordinator:
    """Lets everyone in, or nobody."""

    def __init__(self) -> None:
        self.code = OK
        self.asked: list[set[TopicPartition]] = []

    def add_partitions(self, *_: Any, transaction_version: int, **__: Any) -> Pending[ErrorCode]:
        self.asked.append(set(_[3]))
        answer: Pending[ErrorCode] = Pending()
        answer.resolve(self.code)
        return answer

    def verify(
        self, name: str, pid: int, epoch: int, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, ErrorCode] | ErrorCode:
        self.asked.append(set(partitions))
        return dict.fromkeys(partitions, self.code)


class Groups:
    def __init__(self) -> None:
        self.completed: list[tuple[int, int, bool]] = []

    def complete_transaction(self, partition: int, producer_id: int, *, commit: bool) -> None:
        self.completed.append((partition, producer_id, commit))


class World:
    def __init__(self, folder: pathlib.Path) -> None:
        self.bench = HandlerBench(folder)
        self.coordinator = Coordinator()
        self.groups = Groups()
        services = self.bench.services
        deadlines, clock = services.deadlines, self.bench.clock
        services.txn_gate = TransactionGate(self.coordinator, deadlines, clock)
        services.txn_markers = PartitionMarkers(
            cast("Any", self.bench.partitions), self.groups, clock
        )
        self.topic_id: Uuid = self.bench.add_topic("t", 2)
        self.sequences: dict[tuple[int, int, int], int] = {}

    def batch(
        self,
        producer_id: int = 1,
        count: int = 1,
        *,
        epoch: int = 0,
        partition: int = 0,
        transactional: bool = True,
        sequence: int | None = None,
    ) -> memoryview:
        place = producer_id, epoch, partition
        first = self.sequences.get(place, 0) if sequence is None else sequence
        self.sequences[place] = first + count
        return memoryview(
            bytearray(
                batch_of(
                    [b"v"] * count,
                    timestamp_ms=NOW_MS,
                    producer_id=producer_id,
                    producer_epoch=epoch,
                    base_sequence=first,
                    transactional=transactional,
                )
            )
        )

    def send(
        self, *batches: tuple[int, memoryview], version: int = 12, by_id: bytes | None = None
    ) -> list[Any]:
        data = [PartitionProduceData(index, records) for index, records in batches]
        topic = TopicProduceData("" if by_id else "t", partition_data=data)
        if by_id:
            topic.topic_id = Uuid(by_id)
        request = ProduceRequest("tx", -1, 10_000, [topic])
        pending = produce.handle(request, self.bench.context(version))
        self.bench.scheduler.end_turn()
        response = pending.result()
        assert response is not None
        return list(response.responses[0].partition_responses)

    def write(self, producer_id: int = 1, count: int = 1, **how: Any) -> Any:
        version = how.pop("version", 12)
        (answer,) = self.send((0, self.batch(producer_id, count, **how)), version=version)
        return answer

    def end(
        self,
        producer_id: int = 1,
        *,
        commit: bool = False,
        epoch: int = 0,
        coordinator_epoch: int = 0,
        version: int = 0,
        topic: str = "t",
        turn: bool = True,
    ) -> ErrorCode:
        marker = WritableTxnMarker(
            producer_id,
            epoch,
            commit,
            [WritableTxnMarkerTopic(topic, [0])],
            coordinator_epoch,
            version,
        )
        request = WriteTxnMarkersRequest([marker])
        pending = write_txn_markers.handle(request, self.bench.context(2))
        if not turn:
            return OK
        self.bench.scheduler.end_turn()
        (result,) = pending.result().markers
        assert result.producer_id == producer_id
        return ErrorCode(result.topics[0].partitions[0].error_code)

    def fetch(self, offset: int = 0, *, committed: bool = True, **how: Any) -> Any:
        request = fetch_request("t", offset, isolation_level=int(committed), **how)
        return fetch.handle(request, self.bench.context(12))

    def read(self, offset: int = 0, **how: Any) -> tuple[int, int, list[tuple[int, int]] | None]:
        """(bytes, last stable offset, aborted list)."""
        return described(self.fetch(offset, **how))

    def latest(self, *, committed: bool) -> int:
        asked = ListOffsetsPartition(partition_index=0, timestamp=-1)
        request = ListOffsetsRequest(
            isolation_level=int(committed), topics=[ListOffsetsTopic("t", [asked])]
        )
        response = list_offsets.handle(request, self.bench.context(8))
        return response.topics[0].partitions[0].offset


def described(response: Any) -> tuple[int, int, list[tuple[int, int]] | None]:
    ((data,),) = (topic.partitions for topic in response.responses)
    assert data.error_code == OK
    if type(data.records) is FileSlice:
        data.records.lease.release()
    aborted = data.aborted_transactions
    return (
        len(data.records),
        data.last_stable_offset,
        None if aborted is None else [(txn.producer_id, txn.first_offset) for txn in aborted],
    )


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    return World(tmp_path)


def test_an_open_transaction_is_not_for_readers_of_committed_records(world: World) -> None:
    world.write(count=2)
    assert world.read() == (0, 0, [])
    size, stable, aborted = world.read(committed=False)
    assert size > 0
    assert (stable, aborted) == (0, None)
    assert (world.latest(committed=True), world.latest(committed=False)) == (0, 2)
    assert world.end(commit=True) == OK
    assert world.read()[1:] == (3, [])
    assert world.latest(committed=True) == 3


def test_readers_learn_who_aborted(world: World) -> None:
    world.write(1)
    world.write(2)
    world.write(3)
    world.end(2)
    assert world.read() == (0, 0, [])
    world.end(1)
    assert world.read()[1:] == (2, [(1, 0), (2, 1)])
    world.end(3, commit=True)
    assert world.read()[1:] == (6, [(1, 0), (2, 1)])
    assert world.read(4)[1:] == (6, [(1, 0)])
    assert world.read(5)[1:] == (6, [])


def test_the_aborted_list_is_that_of_what_is_read(world: World) -> None:
    for _ in range(40):
        world.write(1, 3)
        world.end(1)
    (size, _, everyone) = world.read()
    assert everyone is not None
    assert len(everyone) == 40
    half, _, some = world.read(partition_max_bytes=size // 100)
    assert half < size
    assert some == everyone[: len(some or ())]


def test_a_first_batch_is_asked_for_and_others_are_not(world: World) -> None:
    world.write()
    world.write()
    assert len(world.coordinator.asked) == 1
    world.end()
    world.write()
    assert len(world.coordinator.asked) == 2


def test_one_question_for_all_partitions_of_a_request(world: World) -> None:
    first, second = world.send((0, world.batch()), (1, world.batch(partition=1)))
    assert (first.error_code, second.error_code) == (OK, OK)
    assert world.coordinator.asked == [{TopicPartition("t", 0), TopicPartition("t", 1)}]


@pytest.mark.parametrize(
    ("version", "said", "told"),
    [
        (9, ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.INVALID_TXN_STATE),
        (11, ErrorCode.TRANSACTION_ABORTABLE, ErrorCode.TRANSACTION_ABORTABLE),
        (11, ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS),
        (9, ErrorCode.NOT_COORDINATOR, ErrorCode.NOT_ENOUGH_REPLICAS),
        (12, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.NOT_ENOUGH_REPLICAS),
        (12, ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH),
        (12, ErrorCode.INVALID_PRODUCER_ID_MAPPING, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
    ],
)
def test_what_the_coordinator_refuses(
    world: World, version: int, said: ErrorCode, told: ErrorCode
) -> None:
    world.coordinator.code = said
    answer = world.write(version=version)
    assert (answer.error_code, answer.base_offset) == (told, -1)
    assert world.latest(committed=False) == 0


def test_a_batch_behind_the_marker_of_its_transaction_opens_none(world: World) -> None:
    world.write()
    world.end(turn=False)
    assert world.write().error_code == ErrorCode.INVALID_TXN_STATE
    assert world.read()[1:] == (2, [(1, 0)])


def test_a_repeat_behind_the_marker_is_a_repeat(world: World) -> None:
    world.write()
    world.end(turn=False)
    answer = world.write(sequence=0)
    assert (answer.error_code, answer.base_offset) == (OK, 0)


def test_a_plain_batch_within_a_transaction(world: World) -> None:
    world.write()
    assert world.write(transactional=False).error_code == ErrorCode.INVALID_TXN_STATE


def test_batches_of_two_producers(world: World) -> None:
    first, second = world.send((0, world.batch(1)), (1, world.batch(2, partition=1)))
    assert first.error_code == OK
    assert second.error_code == ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_a_new_producer_of_version_2_begins_with_0(world: World) -> None:
    code = ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert world.write(sequence=4).error_code == code
    assert world.write(sequence=4, version=11).error_code == OK


def test_markers_of_version_2_bump_the_epoch(world: World) -> None:
    world.write(epoch=4)
    assert world.end(epoch=4, version=2) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert world.end(epoch=5, version=2) == OK
    # It may come again, but a batch of the old epoch may not.
    assert world.end(epoch=5, version=2) == OK
    assert world.write(epoch=4).error_code == ErrorCode.INVALID_PRODUCER_EPOCH
    assert world.write(epoch=5).error_code == OK
    assert world.end(epoch=4) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_marker_of_a_replaced_coordinator(world: World) -> None:
    world.write()
    assert world.end(coordinator_epoch=3) == OK
    world.write()
    code = ErrorCode.TRANSACTION_COORDINATOR_FENCED
    assert world.end(coordinator_epoch=2) == code
    assert world.end(coordinator_epoch=3) == OK


def test_a_marker_for_nobody_is_written_and_changes_nothing(world: World) -> None:
    assert world.end(9, coordinator_epoch=2) == OK
    assert world.read()[1:] == (1, [])


def test_a_partition_named_again_and_again_gets_one_marker(world: World) -> None:
    named = [WritableTxnMarkerTopic("t", [0] * 1000), WritableTxnMarkerTopic("t", [1, 0, 0])]
    request = WriteTxnMarkersRequest([WritableTxnMarker(9, 0, False, named, 0, 0)])
    pending = write_txn_markers.handle(request, world.bench.context(2))
    world.bench.scheduler.end_turn()
    (result,) = pending.result().markers
    assert [part.partition_index for part in result.topics[0].partitions] == [0, 1]
    assert world.latest(committed=False) == 1


def test_many_markers_take_turns_with_others(world: World) -> None:
    count = 4 * ELEMENTS_A_TURN
    named = [WritableTxnMarkerTopic("t", [0])]
    markers = [WritableTxnMarker(number, 0, True, named, 0, 0) for number in range(count)]
    answer = write_txn_markers.handle(WriteTxnMarkersRequest(markers), world.bench.context(2))
    assert world.latest(committed=False) < ELEMENTS_A_TURN
    assert world.bench.count_turns(answer) >= 4
    results = answer.result().markers
    assert [result.producer_id for result in results] == list(range(count))
    assert {part.error_code for result in results for part in result.topics[0].partitions} == {OK}
    assert world.latest(committed=False) == count


def test_many_partitions_of_a_marker_take_turns_with_others(world: World) -> None:
    count = 4 * ELEMENTS_A_TURN
    named = [WritableTxnMarkerTopic("t", list(range(count)))]
    request = WriteTxnMarkersRequest([WritableTxnMarker(9, 0, False, named, 0, 0)])
    answer = write_txn_markers.handle(request, world.bench.context(2))
    assert world.bench.count_turns(answer) >= 8
    (result,) = answer.result().markers
    assert [part.partition_index for part in result.topics[0].partitions] == list(range(count))
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    codes = [part.error_code for part in result.topics[0].partitions]
    assert codes == [OK, OK] + [unknown] * (count - 2)


def test_a_marker_for_no_partition(world: World) -> None:
    assert world.end(topic="nowhere") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    pending = write_txn_markers.handle(WriteTxnMarkersRequest([]), world.bench.context(1))
    assert pending.result().markers == []


def test_groups_hear_of_a_marker_once_it_is_visible(world: World) -> None:
    world.bench.add_topic(OFFSETS_TOPIC, 1)
    world.end(topic=OFFSETS_TOPIC, commit=True, turn=False)
    assert not world.groups.completed
    world.bench.scheduler.end_turn()
    assert world.groups.completed == [(0, 1, True)]


def test_a_parked_fetch_wakes_when_the_transaction_ends(world: World) -> None:
    world.write()
    waiting = world.fetch(max_wait_ms=500, min_bytes=1)
    world.write(2)
    assert not waiting.done
    world.end(1)
    size, stable, aborted = described(waiting.result())
    assert size > 0
    assert (stable, aborted) == (1, [(1, 0)])


def test_the_log_start_may_pass_an_open_transaction(world: World) -> None:
    world.write(count=3)
    partition = world.bench.partitions.get("t", 0)
    partition.online_log().advance_log_start(2)
    assert partition.last_stable_offset == 2


def test_producers_are_described_with_their_transactions(world: World) -> None:
    world.write(count=2)
    world.end(coordinator_epoch=7)
    world.write()
    request = DescribeProducersRequest(topics=[TopicRequest("t", [0])])
    response = world.bench.answered(describe_producers.handle(request, world.bench.context(0)))
    (one,) = response.topics[0].partitions[0].active_producers or []
    assert (one.coordinator_epoch, one.current_txn_start_offset, one.last_sequence) == (7, 3, 2)


def test_topics_by_their_ids(world: World) -> None:
    (answer,) = world.send((0, world.batch()), version=13, by_id=world.topic_id)
    assert answer.error_code == OK
    (answer,) = world.send((0, world.batch()), version=13, by_id=bytes(range(16)))
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_aborted_transactions_are_those_of_the_wire(world: World) -> None:
    world.write()
    world.end()
    ((data,),) = (topic.partitions for topic in world.fetch().responses)
    assert data.aborted_transactions == [AbortedTransaction(1, 0)]
    data.records.lease.release()
