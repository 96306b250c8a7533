"""The fetch handler over a real log: at once, parked, woken, expired, given up."""

import pathlib
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of, fetch_request
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.ids import Uuid
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import fetch
from tierbroker.records.batch import read_header
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.fetch import FetchPartition, FetchTopic

OK = ErrorCode.NONE


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t", 2)
    return made


def write(bench: HandlerBench, partition: int = 0, size: int = 100) -> None:
    batch = bytearray(batch_of([bytes(size)], timestamp_ms=NOW_MS))
    bench.partitions.get("t", partition).append(batch, read_header(batch), -1, lambda _: None)
    bench.scheduler.end_turn()


def read(bench: HandlerBench, offset: int = 0, *, version: int = 12, **how: Any) -> Any:
    topic = how.pop("topic", "t")
    return fetch.handle(fetch_request(topic, offset, **how), bench.context(version))


def only(response: Any) -> Any:
    ((data,),) = (topic.partitions for topic in response.responses)
    return data


def let_go(data: Any) -> int:
    """The size of what was read; the slice is given back as its sender would."""
    if type(data.records) is FileSlice:
        data.records.lease.release()
    return len(data.records or b"")


def test_what_is_there_is_answered_at_once(bench: HandlerBench) -> None:
    write(bench)
    data = only(read(bench, max_wait_ms=500, min_bytes=1))
    assert type(data.records) is FileSlice
    assert (data.error_code, data.high_watermark, data.log_start_offset) == (OK, 1, 0)
    assert let_go(data) > 100


def test_a_fetch_waits_for_data(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=500, min_bytes=1)
    assert isinstance(waiting, Pending)
    assert not waiting.done
    write(bench, partition=1)
    assert not waiting.done
    write(bench)
    assert let_go(only(waiting.result())) > 100
    assert not bench.partitions.get("t", 0).waiters
    assert len(bench.services.deadlines) == 0


def test_a_fetch_waits_for_enough_data(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=500, min_bytes=250)
    write(bench)
    assert not waiting.done
    write(bench)
    assert let_go(only(waiting.result())) > 250


def test_a_wait_that_ends_with_nothing_is_an_empty_success(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=500, min_bytes=1)
    bench.clock.advance(510)
    bench.scheduler.advance(0.51)
    data = only(waiting.result())
    assert (data.error_code, let_go(data)) == (OK, 0)
    assert not bench.partitions.get("t", 0).waiters


def test_a_client_that_leaves_leaves_nothing_behind(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=500, min_bytes=10_000)
    write(bench)
    waiting.cancel()
    assert not bench.partitions.get("t", 0).waiters
    assert len(bench.services.deadlines) == 0
    write(bench)
    assert not waiting.done


def test_losing_the_leadership_ends_a_wait(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=60_000, min_bytes=1, version=16, topic=topic_id(bench))
    bench.partitions.get("t", 0).retire()
    response = waiting.result()
    data = only(response)
    assert data.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert data.current_leader is not None
    assert [node.node_id for node in response.node_endpoints] == [1]


def test_a_wait_ends_when_the_topic_is_deleted(bench: HandlerBench) -> None:
    waiting = read(bench, max_wait_ms=60_000, min_bytes=1)
    partition = bench.partitions.held.pop(("t", 0))
    partition.retire()
    assert only(waiting.result()).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def topic_id(bench: HandlerBench) -> Uuid:
    return next(iter(bench.partitions.names))


def test_an_error_of_one_partition_does_not_wait(bench: HandlerBench) -> None:
    request = fetch_request("t", 0, max_wait_ms=60_000, min_bytes=1)
    request.topics[0].partitions.append(FetchPartition(partition=9, fetch_offset=0))
    response = fetch.handle(request, bench.context(12))
    assert not isinstance(response, Pending)
    codes = [data.error_code for data in response.responses[0].partitions]
    assert codes == [OK, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]


def test_an_offset_out_of_range(bench: HandlerBench) -> None:
    write(bench)
    data = only(read(bench, 2))
    assert (data.error_code, data.high_watermark) == (ErrorCode.OFFSET_OUT_OF_RANGE, 1)


def test_one_batch_comes_even_above_the_limits_but_only_of_the_first_partition(
    bench: HandlerBench,
) -> None:
    for partition in (0, 1):
        write(bench, partition)
        write(bench, partition)
    request = fetch_request("t", 0, partition_max_bytes=1, max_bytes=1)
    request.topics = [
        FetchTopic(
            topic="t",
            partitions=[
                FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1)
                for index in (1, 0)
            ],
        )
    ]
    response = fetch.handle(request, bench.context(12))
    assert not isinstance(response, Pending)
    first, second = response.responses[0].partitions
    assert first.partition_index == 1
    assert 100 < let_go(first) < 250
    assert let_go(second) == 0


def test_a_diverging_history(bench: HandlerBench) -> None:
    write(bench)
    partition = bench.partitions.get("t", 0)
    partition.become_leader(4)
    write(bench)
    data = only(read(bench, 2, last_fetched_epoch=3))
    assert data.diverging_epoch is not None
    assert (data.diverging_epoch.epoch, data.diverging_epoch.end_offset) == (0, 1)
    assert only(read(bench, 1, last_fetched_epoch=9)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    same = only(read(bench, 1, last_fetched_epoch=0))
    assert same.error_code == OK
    assert let_go(same) > 0


def test_topic_ids(bench: HandlerBench) -> None:
    write(bench)
    known = topic_id(bench)
    data = only(read(bench, topic=known, version=13))
    assert let_go(data) > 0
    unknown = only(read(bench, topic=Uuid(bytes(15) + b"x"), version=13))
    assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_ID
    bench.partitions.get("t", 0).topic_id = Uuid(b"y" * 16)
    recreated = only(read(bench, topic=known, version=13))
    assert recreated.error_code == ErrorCode.INCONSISTENT_TOPIC_ID


def test_a_session_answers_only_news(bench: HandlerBench) -> None:
    opened = read(bench, 0, session_epoch=0)
    assert opened.session_id > 0
    request = fetch_request(None, session_id=opened.session_id, session_epoch=1)
    assert fetch.handle(request, bench.context(12)).responses == []  # type: ignore[union-attr]
    write(bench)
    request = fetch_request(None, session_id=opened.session_id, session_epoch=2)
    assert let_go(only(fetch.handle(request, bench.context(12)))) > 0


def test_a_session_that_is_not_there(bench: HandlerBench) -> None:
    request = fetch_request(None, session_id=5, session_epoch=1)
    response = fetch.handle(request, bench.context(12))
    assert response.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND  # type: ignore[union-attr]


@pytest.mark.parametrize(("level", "aborted"), [(0, None), (1, [])])
def test_aborted_transactions_are_for_who_reads_committed(
    bench: HandlerBench, level: int, aborted: object
) -> None:
    assert only(read(bench, isolation_level=level)).aborted_transactions == aborted


def test_who_claims_to_be_a_replica_is_refused(bench: HandlerBench) -> None:
    write(bench)
    data = only(read(bench, replica_id=1, version=11))
    assert (data.error_code, data.records) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, b"")
    assert let_go(only(read(bench, replica_id=-2, version=11)))
