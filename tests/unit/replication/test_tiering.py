"""Hot and cold as one partition: what clients are told of it, wherever the records lie."""

from pathlib import Path
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of, fetch_request
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS, TOPIC_PARTITION, make_batch
from tests.tier_world import CLUSTER, TOPIC_ID
from tests.tiered_log import TieredLog
from tierbroker.base.ids import TopicPartition
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import (
    delete_records,
    fetch,
    list_offsets,
    offset_for_leader_epoch,
)
from tierbroker.cold.errors import StoreUnavailableError
from tierbroker.cold.reader import ColdRead, ReadLimits, TierReader
from tierbroker.cold.time_search import ColdOffset
from tierbroker.hot import log_cutting
from tierbroker.hot.log import AppendResult
from tierbroker.hot.producer_state import AppendOrigin
from tierbroker.records.batch import read_header, walk
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.tier.state import PartitionTier
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.fetch import FetchPartition, FetchTopic
from tierbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from tierbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from tierbroker.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

OK = ErrorCode.NONE


class Joined(TieredLog):
    """The tiered partition t-0 beside hot-0, behind the handlers of one broker."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / "t-0"))
        self.bench = HandlerBench(folder)
        self.bench.add_topic("hot")
        self.bench.partitions.held[TOPIC_PARTITION] = self.led
        self.bench.partitions.names[TOPIC_ID] = "t"
        self.reader = TierReader(
            self.store,
            self.ledger,
            self.stories,
            self.scheduler,
            cluster_id=CLUSTER,
            limits=ReadLimits(),
            on_arrival=lambda place: self.led.wake_waiters(),
        )

    def read(
        self, tier: PartitionTier, place: TopicPartition, offset: int, max_bytes: int
    ) -> ColdRead | None:
        """See ColdTier."""
        return self.reader.read(tier, place, offset, max_bytes)

    def offset_for_timestamp(
        self, tier: PartitionTier, place: TopicPartition, timestamp_ms: int, start_offset: int
    ) -> Pending[ColdOffset | None]:
        """See ColdTier."""
        return self.reader.offset_for_timestamp(tier, place, timestamp_ms, start_offset)

    def retire(
        self, topic_id: Any, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        """See ColdTier."""
        return self.ledger.retire(topic_id, partition, leader_epoch, log_start_offset)

    def settings_changed(self, partition: Any) -> None:
        """See ColdTier."""
        self.retention.drop_if_unwanted(partition)

    def offload(self, evicted_below: int) -> None:
        """All closed segments are in the store; those below the offset are there alone."""
        self.upload_all()
        self.checkpoint()
        log_cutting.evict_below(self.log, evicted_below)

    def fetch(self, *places: tuple[str, int], **how: Any) -> Any:
        """Answer of the handler: a list of what came for each place, or the Pending of it."""
        request = fetch_request(None, **{"max_wait_ms": 500, "min_bytes": 1, **how})
        request.topics = [
            FetchTopic(
                topic=topic,
                partitions=[
                    FetchPartition(
                        partition=0,
                        fetch_offset=offset,
                        current_leader_epoch=-1,
                        last_fetched_epoch=-1,
                        partition_max_bytes=1 << 20,
                    )
                ],
            )
            for topic, offset in places
        ]
        return fetch.handle(request, self.bench.context(12))

    def times(self, timestamp: int, version: int = 11, **how: Any) -> Any:
        """Answer of ListOffsets: (offset, timestamp, epoch), or an error code."""
        asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
        request = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=[asked])], **how)
        response = list_offsets.handle(request, self.bench.context(version))
        if isinstance(response, Pending):
            response = response.result()
        answer = response.topics[0].partitions[0]
        if answer.error_code:
            return ErrorCode(answer.error_code)
        return answer.offset, answer.timestamp, answer.leader_epoch

    def delete(self, offset: int) -> tuple[int, int]:
        """Answer of DeleteRecords: error code and low watermark."""
        request = DeleteRecordsRequest(
            topics=[
                DeleteRecordsTopic(
                    name="t",
                    partitions=[DeleteRecordsPartition(partition_index=0, offset=offset)],
                )
            ]
        )
        response = delete_records.handle(request, self.bench.context(2))
        if isinstance(response, Pending):
            response = response.result()
        answer = response.topics[0].partitions[0]
        return answer.error_code, answer.low_watermark

    def epoch_end(self, epoch: int) -> tuple[int, int]:
        """Answer of OffsetForLeaderEpoch."""
        asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=epoch)
        request = OffsetForLeaderEpochRequest(
            topics=[OffsetForLeaderTopic(topic="t", partitions=[asked])]
        )
        response = offset_for_leader_epoch.handle(request, self.bench.context(4))
        answer = response.topics[0].partitions[0]
        return answer.leader_epoch, answer.end_offset


@pytest.fixture
def world(tmp_path: Path) -> Joined:
    made = Joined(tmp_path)
    made.fill(3)  # 0-9, 10-19, 20-29; the time goes on with each
    return made


def data_of(response: Any) -> list[Any]:
    return [data for topic in response.responses for data in topic.partitions]


def offsets(data: Any) -> list[int]:
    records = data.records
    if not isinstance(records, bytes | memoryview):
        content = records.lease, records.length
        records.lease.release()
        return [-content[1]]
    return [header.base_offset for _, header in walk(records)]


def test_hot_records_do_not_wait_for_cold_ones(world: Joined) -> None:
    world.offload(20)
    batch = bytearray(batch_of([b"hot"], timestamp_ms=NOW_MS))
    world.bench.partitions.get("hot", 0).append(batch, read_header(batch), -1, lambda _: None)
    world.bench.scheduler.end_turn()
    world.store.hold("get_range")
    for isolation_level in (0, 1):
        for places in ([("t", 0), ("hot", 0)], [("hot", 0), ("t", 0)]):
            response = world.fetch(*places, isolation_level=isolation_level)
            assert not isinstance(response, Pending)
            cold, hot = sorted(data_of(response), key=lambda data: bool(data.records))
            assert (cold.error_code, len(cold.records)) == (OK, 0)
            assert (cold.high_watermark, cold.log_start_offset) == (30, 0)
            assert hot.error_code == OK
            offsets(hot)
    assert world.store.held == 1
    world.store.release()
    assert [offsets(data) for data in data_of(world.fetch(("t", 0)))] == [[0]]


def test_a_slow_store_is_an_empty_answer_and_the_next_fetch_finds_the_records(
    world: Joined,
) -> None:
    world.offload(20)
    world.store.hold("get_range")
    waiting = world.fetch(("t", 5))
    assert isinstance(waiting, Pending)
    world.bench.clock.advance(510)
    world.bench.scheduler.advance(0.51)
    (data,) = data_of(waiting.result())
    assert (data.error_code, len(data.records), data.log_start_offset) == (OK, 0, 0)
    world.store.release()  # the tail; nobody asks for the records meanwhile
    waiting = world.fetch(("t", 5))
    if isinstance(waiting, Pending):
        waiting = waiting.result()
    assert offsets(data_of(waiting)[0]) == [0]


def test_a_fetch_that_waits_is_answered_when_the_records_come(world: Joined) -> None:
    world.offload(20)
    world.store.hold("get_range")
    waiting = world.fetch(("t", 12))
    world.store.release(1)
    assert not waiting.done
    world.store.release(1)
    (data,) = data_of(waiting.result())
    assert (offsets(data), data.error_code) == ([10], OK)
    assert not world.led.waiters


def test_a_broken_store_is_a_storage_error_and_no_more(world: Joined) -> None:
    world.offload(20)
    world.store.hold("get_range")
    world.store.fail("get_range", StoreUnavailableError("down"), times=2)
    first, second = world.fetch(("t", 0)), world.fetch(("t", 0))
    world.store.release()
    for waiting in (first, second):
        (data,) = data_of(waiting.result())
        assert data.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert world.times(NOW_MS) == ErrorCode.KAFKA_STORAGE_ERROR
    assert not world.failures
    assert world.times(NOW_MS)[0] == 0


def test_the_part_that_is_here_begins_where_the_cold_one_ends(world: Joined) -> None:
    world.offload(20)
    assert offsets(data_of(world.fetch(("t", 19)))[0]) == [10]
    (hot,) = data_of(world.fetch(("t", 20)))
    assert hot.records.length == world.log.segments.first.size_bytes
    hot.records.lease.release()
    for outside in (-1, 31):
        (data,) = data_of(world.fetch(("t", outside)))
        assert (data.error_code, data.log_start_offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, 0)


def test_limits_hold_across_partitions(world: Joined) -> None:
    world.offload(20)
    size = len(data_of(world.fetch(("t", 0)))[0].records)
    first, second = data_of(world.fetch(("t", 0), ("hot", 0), max_bytes=1))
    assert (len(first.records), len(second.records)) == (size, 0)
    batch = bytearray(batch_of([b"hot"], timestamp_ms=NOW_MS))
    world.bench.partitions.get("hot", 0).append(batch, read_header(batch), -1, lambda _: None)
    world.bench.scheduler.end_turn()
    first, second = data_of(world.fetch(("hot", 0), ("t", 0), max_bytes=size))
    assert (bool(first.records), len(second.records)) == (True, 0)
    offsets(first)


def test_special_offsets(world: Joined) -> None:
    assert world.times(-5) == (-1, -1, -1)
    assert world.times(-6) == (0, -1, 0)
    world.offload(20)
    assert world.times(-1) == (30, -1, 0)
    assert world.times(-2) == (0, -1, 0)
    assert world.times(-4) == (20, -1, 0)
    assert world.times(-5) == (29, -1, 0)
    assert world.times(-6) == (30, -1, 0)
    for timestamp, since in ((-3, 7), (-4, 8), (-5, 9), (-6, 11)):
        assert world.times(timestamp, since - 1) == ErrorCode.UNSUPPORTED_VERSION
        assert world.times(timestamp, since) != ErrorCode.UNSUPPORTED_VERSION


def test_records_are_found_by_time_wherever_they_lie(tmp_path: Path) -> None:
    world = Joined(tmp_path)
    for _ in range(3):
        world.fill(1)
        world.clock.advance(1000)
    world.offload(20)
    assert world.times(0) == (0, NOW_MS, 0)
    assert world.times(NOW_MS + 1) == (10, NOW_MS + 1000, 0)
    assert world.times(NOW_MS + 1001) == (20, NOW_MS + 2000, 0)
    assert world.times(NOW_MS + 2001) == (-1, -1, -1)
    assert world.times(-3) == (20, NOW_MS + 2000, 0)
    assert world.delete(13) == (OK, 13)
    assert world.times(0) == (13, NOW_MS + 1000, 0)


def test_the_newest_record_may_be_a_cold_one(tmp_path: Path) -> None:
    world = Joined(tmp_path)
    for time in (5000, 9000, 100):
        world.log.append([make_batch([b"v"] * 10, times=NOW_MS + time)], 0)
        world.log.roll()
    world.led.advance_high_watermark(world.log.log_end_offset)
    world.offload(20)
    assert world.times(-3) == (10, NOW_MS + 9000, 0)
    assert world.delete(20) == (OK, 20)
    assert world.times(-3) == (20, NOW_MS + 100, 0)


def test_the_newest_record_is_one_that_was_not_deleted(tmp_path: Path) -> None:
    world = Joined(tmp_path)
    times = [5, 9000, 4, 3, 7000, 2, 7000, 1, 1, 1], [10] * 10, [800] * 5 + [6000] + [70] * 4
    for of_segment in times:
        records = [make_batch([b"v"], times=NOW_MS + time) for time in of_segment]
        world.log.append(records, 0)
        world.log.roll()
    world.led.advance_high_watermark(world.log.log_end_offset)
    world.offload(20)
    assert world.times(-3) == (1, NOW_MS + 9000, 0)
    for start, newest in ((2, (4, 7000)), (5, (6, 7000)), (7, (25, 6000)), (20, (25, 6000))):
        assert world.delete(start) == (OK, start)
        assert world.times(-3) == (newest[0], NOW_MS + newest[1], 0)


def test_records_are_deleted_in_the_cold_part_and_beyond(world: Joined) -> None:
    world.offload(20)
    assert world.delete(13) == (OK, 13)
    assert (world.led.log_start_offset, world.tier().start_offset) == (13, 10)
    assert world.times(-2) == (13, -1, 0)
    (data,) = data_of(world.fetch(("t", 12)))
    assert (data.error_code, data.log_start_offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, 13)
    assert offsets(data_of(world.fetch(("t", 13)))[0]) == [10]
    assert world.delete(5) == (OK, 13)
    assert world.delete(25) == (OK, 25)
    assert (world.led.log_start_offset, world.tier().start_offset) == (25, 20)
    assert world.delete(-1) == (OK, 30)
    assert world.tier().empty
    assert world.times(-5) == (-1, -1, -1)
    assert world.times(-6) == (30, -1, 0)
    assert world.delete(31) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)


def test_what_was_deleted_while_it_was_uploaded_does_not_come_back(world: Joined) -> None:
    world.store.hold("put")
    world.uploader.tick()
    world.scheduler.end_turn()
    assert world.store.held
    assert world.delete(25) == (OK, 25)
    world.store.release()
    world.advance(60)
    world.upload_all()
    assert world.ends() == [29]
    world.checkpoint()
    world.set(local_retention_ms=1, retention_ms=-1)
    world.retain()
    assert world.local_bases == [30]
    assert world.led.log_start_offset == 25
    assert world.times(-2) == (25, -1, 0)


def test_epochs_of_the_cold_part_are_known_until_it_starts_behind_them(tmp_path: Path) -> None:
    world = Joined(tmp_path)
    for epoch in range(3):
        world.led.become_leader(epoch)
        world.fill(1)
    world.led.leader_epoch = 0  # the metadata of this world knows no other one
    world.offload(20)
    assert [world.epoch_end(epoch) for epoch in range(3)] == [(0, 10), (1, 20), (2, 30)]
    assert world.times(-2)[2] == 0
    assert world.delete(15) == (OK, 15)
    assert world.epoch_end(1) == (1, 20)
    assert world.epoch_end(0) == (0, 15)


def test_an_acknowledgement_names_the_start_of_the_whole_log(world: Joined) -> None:
    world.offload(20)
    assert world.log.log_start_offset == 20
    answers: list[object] = []
    data, header = make_batch()
    world.led.append(data, header, 1, answers.append)
    world.scheduler.end_turn()
    (result,) = answers
    assert isinstance(result, AppendResult)
    assert world.led.start_for_producer(result) == 0


def test_aborted_transactions_are_told_on_both_sides_of_the_border(tmp_path: Path) -> None:
    world = Joined(tmp_path)
    log = world.log

    def write(producer_id: int, sequence: int) -> None:
        batch = make_batch(
            [b"v"] * 5, producer_id=producer_id, sequence=sequence, transactional=True
        )
        (result,) = log.append([batch], 0)
        assert isinstance(result, AppendResult)

    def end(producer_id: int, how: ControlType) -> None:
        marker = bytearray(
            build_marker_batch(
                EndTxnMarker(how, 0), timestamp_ms=NOW_MS, producer_id=producer_id, producer_epoch=0
            )
        )
        (result,) = log.append([(marker, read_header(marker))], 0, [AppendOrigin.COORDINATOR])
        assert isinstance(result, AppendResult)

    write(1, 0)  # 0-4
    write(2, 0)  # 5-9
    log.roll()
    write(1, 5)  # 10-14
    end(2, ControlType.ABORT)  # 15
    log.roll()
    write(3, 0)  # 16-20
    end(1, ControlType.ABORT)  # 21
    end(3, ControlType.COMMIT)  # 22
    log.roll()
    log.flush()
    world.led.advance_high_watermark(log.log_end_offset)
    world.offload(16)

    def aborted(offset: int) -> list[tuple[int, int]]:
        (data,) = data_of(world.fetch(("t", offset), isolation_level=1))
        found = data.aborted_transactions
        offsets(data)
        return [(txn.producer_id, txn.first_offset) for txn in found]

    assert world.log.log_start_offset == 16
    assert aborted(0) == [(1, 0), (2, 5)]
    assert aborted(10) == [(1, 0), (2, 5)]
    assert aborted(16) == [(1, 0)]
    (data,) = data_of(world.fetch(("t", 0), isolation_level=0))
    assert data.aborted_transactions is None


def test_a_session_names_a_partition_again_when_its_cold_records_have_come(world: Joined) -> None:
    world.offload(20)
    world.store.hold("get_range")
    how = {"max_wait_ms": 0, "min_bytes": 0}
    opened = world.fetch(("t", 0), ("hot", 0), session_id=0, session_epoch=0, **how)
    assert opened.session_id
    assert [len(data.records) for data in data_of(opened)] == [0, 0]
    assert data_of(world.fetch(session_id=opened.session_id, session_epoch=1, **how)) == []
    world.store.release(1)
    assert data_of(world.fetch(session_id=opened.session_id, session_epoch=2, **how)) == []
    world.store.release()
    (data,) = data_of(world.fetch(session_id=opened.session_id, session_epoch=3, **how))
    assert offsets(data) == [0]
