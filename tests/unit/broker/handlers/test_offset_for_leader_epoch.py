"""The handler of OffsetForLeaderEpoch: where each epoch ended, as far as consumers may know."""

import pathlib

import pytest

from tests.broker.wire_calls import batch_of
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.broker.handlers import offset_for_leader_epoch
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

OK = ErrorCode.NONE


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    """Epoch 0 has the offsets 0 and 1, epoch 5 has 2 and 3."""
    made = HandlerBench(tmp_path)
    made.add_topic("t")
    partition = made.partitions.get("t", 0)
    for epoch in (0, 5):
        partition.become_leader(epoch)
        batch = bytearray(batch_of([b"v"] * 2, timestamp_ms=NOW_MS))
        partition.append(batch, read_header(batch), -1, lambda _: None)
        made.scheduler.end_turn()
    return made


def end_of(bench: HandlerBench, epoch: int, current: int = -1) -> tuple[int, int, int]:
    asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=current, leader_epoch=epoch)
    request = OffsetForLeaderEpochRequest(
        topics=[OffsetForLeaderTopic(topic="t", partitions=[asked])]
    )
    answer = offset_for_leader_epoch.handle(request, bench.context(4)).topics[0].partitions[0]
    return answer.error_code, answer.leader_epoch, answer.end_offset


@pytest.mark.parametrize(("epoch", "known", "end"), [(0, 0, 2), (3, 0, 2), (5, 5, 4), (6, -1, -1)])
def test_the_largest_epoch_that_is_not_above(
    bench: HandlerBench, epoch: int, known: int, end: int
) -> None:
    assert end_of(bench, epoch) == (OK, known, end)


def test_what_cannot_be_read_yet_is_not_told(bench: HandlerBench) -> None:
    bench.partitions.get("t", 0).high_watermark = 3
    assert end_of(bench, 5) == (OK, 5, 3)


def test_the_callers_own_epoch_is_compared(bench: HandlerBench) -> None:
    assert end_of(bench, 5, current=5)[0] == OK
    assert end_of(bench, 5, current=4)[0] == ErrorCode.FENCED_LEADER_EPOCH
    assert end_of(bench, 5, current=6)[0] == ErrorCode.UNKNOWN_LEADER_EPOCH
