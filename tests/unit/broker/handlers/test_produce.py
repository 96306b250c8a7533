"""The produce handler over a real log: answers, acks, refusals, and what is stored."""

import errno
import pathlib
from typing import Any

import pytest

from tests.broker.wire_calls import batch_of, produce_request
from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.errors import CloseConnection
from tierbroker.base.ids import Uuid
from tierbroker.broker.handlers import produce
from tierbroker.records.batch import crc_valid, read_header
from tierbroker.records.compression import Codec
from tierbroker.records.record import iterate
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.produce import PartitionProduceData, TopicProduceData

OK = ErrorCode.NONE


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    return HandlerBench(tmp_path)


def sound(**how: Any) -> bytearray:
    return bytearray(batch_of([b"a", b"b"], timestamp_ms=NOW_MS, **how))


def send(bench: HandlerBench, records: Any = None, *, version: int = 9, **how: Any) -> Any:
    """The answer for the one partition, once the turn is over."""
    data = sound() if records is None else records
    request = produce_request("t", data and memoryview(data), **how)
    pending = produce.handle(request, bench.context(version))
    bench.scheduler.end_turn()
    response = pending.result()
    if response is None:
        return None
    ((answer,),) = (entry.partition_responses for entry in response.responses)
    return answer


def stored(bench: HandlerBench) -> bytes:
    log = bench.partitions.get("t", 0).online_log()
    return log.read_bytes(0, 1 << 20, log.log_end_offset)


def test_offsets_follow_each_other(bench: HandlerBench) -> None:
    bench.add_topic("t")
    assert [send(bench, acks=acks).base_offset for acks in (-1, 1, -1)] == [0, 2, 4]
    assert send(bench, acks=0) is None
    assert send(bench).base_offset == 8


def test_nothing_is_answered_before_the_turn_ends(bench: HandlerBench) -> None:
    bench.add_topic("t")
    request = produce_request("t", memoryview(sound()), acks=1)  # type: ignore[arg-type]
    pending = produce.handle(request, bench.context(9))
    assert not pending.done
    bench.scheduler.end_turn()
    assert pending.done


def test_a_batch_stays_opaque(bench: HandlerBench) -> None:
    bench.add_topic("t")
    batch = sound(codec=Codec.GZIP)
    send(bench, bytearray(batch))
    assert stored(bench)[16:] == bytes(batch)[16:]


def test_a_topic_with_a_codec_of_its_own(bench: HandlerBench) -> None:
    bench.add_topic("t", compression_type="lz4")
    assert send(bench, sound(codec=Codec.GZIP)).error_code == OK
    header = read_header(stored(bench))
    assert header.codec == Codec.LZ4
    assert [record.value for record in iterate(memoryview(stored(bench)))] == [b"a", b"b"]


def test_a_batch_that_is_too_large_in_the_topics_codec(bench: HandlerBench) -> None:
    bench.add_topic("t", compression_type="uncompressed", max_message_bytes="2000")
    batch = bytearray(batch_of([bytes(3000)], timestamp_ms=NOW_MS, codec=Codec.GZIP))
    assert len(batch) < 2000
    answer = send(bench, batch)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.MESSAGE_TOO_LARGE, -1)
    assert stored(bench) == b""


def test_log_append_time(bench: HandlerBench) -> None:
    bench.add_topic("t", message_timestamp_type="LogAppendTime")
    bench.clock.advance(5000)
    answer = send(bench)
    assert answer.log_append_time_ms == NOW_MS + 5000
    header = read_header(stored(bench))
    assert header.log_append_time
    assert header.max_timestamp == NOW_MS + 5000
    assert crc_valid(stored(bench), 0, header)


def test_zstd_needs_version_7(bench: HandlerBench) -> None:
    bench.add_topic("t")
    refused = send(bench, sound(codec=Codec.ZSTD), version=6)
    assert refused.error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE
    assert send(bench, sound(codec=Codec.ZSTD), version=7).error_code == OK


@pytest.mark.parametrize("acks", [-2, 2])
def test_impossible_acks(bench: HandlerBench, acks: int) -> None:
    bench.add_topic("t")
    answer = send(bench, acks=acks)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.INVALID_REQUIRED_ACKS, -1)
    assert stored(bench) == b""


def test_too_few_in_sync_replicas(bench: HandlerBench) -> None:
    bench.add_topic("t", min_insync_replicas="2")
    assert send(bench).error_code == OK  # one replica is all that there is
    bench.partitions.get("t", 0).replica_count = 3
    assert send(bench).error_code == ErrorCode.NOT_ENOUGH_REPLICAS
    assert send(bench, acks=1).error_code == OK
    bench.partitions.get("t", 0).in_sync_replicas = 2
    assert send(bench).error_code == OK


def test_with_acks_0_an_error_closes_the_connection(bench: HandlerBench) -> None:
    bench.add_topic("t")
    with pytest.raises(CloseConnection, match="t-0"):
        send(bench, bytearray(b"rubbish"), acks=0)


def test_an_unknown_partition(bench: HandlerBench) -> None:
    assert send(bench).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_another_leader_is_hinted_at(bench: HandlerBench) -> None:
    bench.add_topic("t")
    bench.partitions.get("t", 0).retire()
    request = produce_request("t", memoryview(sound()))  # type: ignore[arg-type]
    response = produce.handle(request, bench.context(10)).result()
    assert response is not None
    (answer,) = response.responses[0].partition_responses
    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert answer.current_leader is not None
    assert answer.current_leader.leader_id == 1
    assert [(node.node_id, node.port) for node in response.node_endpoints] == [(1, 9093)]


def test_a_transactional_batch_needs_a_transactional_id(bench: HandlerBench) -> None:
    bench.add_topic("t")
    code = ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    batch = sound(producer_id=1, producer_epoch=0, base_sequence=0, transactional=True)
    assert send(bench, batch).error_code == code


def test_records_of_a_compacted_topic_need_keys(bench: HandlerBench) -> None:
    bench.add_topic("t", cleanup_policy="compact")
    answer = send(bench)
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert [error.batch_index for error in answer.record_errors] == [0, 1]
    assert send(bench, sound(key=b"k")).error_code == OK


def test_a_full_disk_refuses_and_goes_on(bench: HandlerBench) -> None:
    bench.add_topic("t")
    bench.fs.fail_next("pwritev", errno.ENOSPC)
    assert send(bench).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert send(bench).base_offset == 0


def test_a_failed_flush_is_an_error_for_acks_all(bench: HandlerBench) -> None:
    bench.add_topic("t")
    bench.flusher.error = OSError(errno.EIO, "broken")
    answer = send(bench)
    assert (answer.error_code, answer.base_offset) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)


@pytest.mark.parametrize("records", [None, b""])
def test_no_records(bench: HandlerBench, records: bytes | None) -> None:
    bench.add_topic("t")
    request = produce_request("t", records)
    if records is not None:
        request.topic_data[0].partition_data[0].records = memoryview(records)
    response = produce.handle(request, bench.context(9)).result()
    assert response is not None
    (answer,) = response.responses[0].partition_responses
    assert answer.error_code == ErrorCode.INVALID_RECORD


def test_a_refusal_of_the_log_tells_where_it_starts(bench: HandlerBench) -> None:
    bench.add_topic("t")
    gap = sound(producer_id=5, producer_epoch=0, base_sequence=3)
    assert send(bench, gap).error_code == OK
    late = send(bench, sound(producer_id=5, producer_epoch=0, base_sequence=9))
    assert late.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert late.log_start_offset == 0
    assert send(bench, sound() + sound()).log_start_offset == -1


def test_a_topic_without_partitions_is_not_answered(bench: HandlerBench) -> None:
    request = produce_request("t", None)
    request.topic_data[0].partition_data = []
    assert produce.handle(request, bench.context(9)).result().responses == []


def test_the_topics_of_the_broker_are_not_for_clients(bench: HandlerBench) -> None:
    bench.add_topic("__consumer_offsets")
    request = produce_request("__consumer_offsets", memoryview(sound()))  # type: ignore[arg-type]
    ((answer,),) = (
        entry.partition_responses
        for entry in produce.handle(request, bench.context(9)).result().responses
    )
    assert (answer.error_code, answer.base_offset) == (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)
    assert bench.partitions.get("__consumer_offsets", 0).high_watermark == 0


def test_topics_by_id(bench: HandlerBench) -> None:
    """One answer for a topic that is named twice, and one for an unknown partition, as Kafka has
    them; an unknown id comes before everything else that is wrong."""
    topic_id = bench.add_topic("t", partitions=2)
    stranger = Uuid(b"s" * 16)
    request = produce_request("", memoryview(sound()))  # type: ignore[arg-type]
    request.topic_data = [
        TopicProduceData(
            topic_id=asked,
            partition_data=[PartitionProduceData(index=index, records=memoryview(sound()))],
        )
        for asked, index in ((topic_id, 0), (stranger, 0), (topic_id, 1), (stranger, 0))
    ]

    def answers(acks: int) -> list[tuple[Uuid, list[tuple[int, int]]]]:
        request.acks = acks
        pending = produce.handle(request, bench.context(13))
        bench.scheduler.end_turn()
        response = pending.result()
        assert response is not None
        return [
            (topic.topic_id, [(item.index, item.error_code) for item in topic.partition_responses])
            for topic in response.responses
        ]

    unknown = (stranger, [(0, ErrorCode.UNKNOWN_TOPIC_ID)])
    refused = ErrorCode.INVALID_REQUIRED_ACKS
    assert answers(-1) == [(topic_id, [(0, OK), (1, OK)]), unknown]
    assert answers(7) == [(topic_id, [(0, refused), (1, refused)]), unknown]
