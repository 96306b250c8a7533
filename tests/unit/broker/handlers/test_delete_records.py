"""The handler of DeleteRecords: the log start moves, within the high watermark and no further."""

import pathlib
from typing import Any, cast

import pytest

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.ids import ZERO_UUID, TopicPartition, Uuid
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import delete_records
from tierbroker.records.batch import read_header
from tierbroker.records.tier.state import PartitionTier
from tierbroker.replication.tiering import ColdPart
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)

OK = ErrorCode.NONE


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    for name, policy in (("t", "delete"), ("both", "compact,delete"), ("compacted", "compact")):
        made.add_topic(name, cleanup_policy=policy)
        batch = bytearray(batch_of([b"v"] * 6, key=b"k", timestamp_ms=NOW_MS))
        made.partitions.get(name, 0).append(batch, read_header(batch), -1, lambda _: None)
    made.scheduler.end_turn()
    return made


def delete(bench: HandlerBench, offset: int, topic: str = "t") -> tuple[int, int]:
    asked = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name=topic, partitions=[asked])])
    answer = delete_records.handle(request, bench.context(2)).topics[0].partitions[0]
    return answer.error_code, answer.low_watermark


def test_the_log_start_only_moves_forward(bench: HandlerBench) -> None:
    assert delete(bench, 4) == (OK, 4)
    assert delete(bench, 2) == (OK, 4)
    assert delete(bench, -1) == (OK, 6)
    assert bench.partitions.get("t", 0).log_start_offset == 6


def test_never_beyond_the_high_watermark(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).high_watermark = 3
    assert delete(bench, 4) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert delete(bench, -2) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert delete(bench, -1) == (OK, 3)


def test_compacted_topics_only_if_they_delete_too(bench: HandlerBench) -> None:
    assert delete(bench, 1, "compacted") == (ErrorCode.POLICY_VIOLATION, -1)
    assert delete(bench, 1, "both") == (OK, 1)


def test_only_the_leader_deletes(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).retire()
    assert delete(bench, 1) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)
    assert delete(bench, 1, "nowhere") == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)


def test_records_of_the_topics_of_the_broker_stay(bench: HandlerBench) -> None:
    bench.add_topic("__consumer_offsets", cleanup_policy="compact")
    assert delete(bench, -1, "__consumer_offsets") == (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)


class ColdTier:
    """Holds nothing yet; an upload is under way."""

    def __init__(self) -> None:
        self.tier = PartitionTier(ZERO_UUID, 0, log_start_offset=0)
        self.starts: list[int] = []
        self.noted: Pending[None] = Pending()

    def tier_of(self, topic_id: Uuid, partition: int) -> PartitionTier:
        return self.tier

    def retire(
        self, topic_id: Uuid, partition: int, leader_epoch: int, log_start_offset: int
    ) -> Pending[None]:
        self.starts.append(log_start_offset)
        return self.noted


def test_the_metadata_log_knows_first_while_an_upload_is_under_way(bench: HandlerBench) -> None:
    """Else the upload would count, and what was deleted be there again."""
    partition = bench.partitions.get("t", 0)
    tier = ColdTier()
    partition.cold = ColdPart(cast("Any", tier), TopicPartition("t", 0), ZERO_UUID)
    asked = DeleteRecordsPartition(partition_index=0, offset=4)
    request = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name="t", partitions=[asked])])
    answer = delete_records.handle(request, bench.context(2))
    assert isinstance(answer, Pending)
    assert not answer.done
    assert tier.starts == [4]
    assert partition.log_start_offset == 0
    tier.noted.resolve(None)
    assert answer.result().topics[0].partitions[0].low_watermark == 4
