"""Reads that cannot be answered with records: offsets, epochs, sessions, unknown places.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.wire_calls import (
    EARLIEST,
    LATEST,
    batch_of,
    fetch,
    fetch_request,
    list_offsets,
    now_ms,
    produce,
    topic_id_of,
)
from tests.broker.wire_client import WireClient
from tierbroker.base.ids import Uuid
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode
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
NOBODYS_ID = Uuid(bytes(range(16)))
MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING = -3, -4, -5, -6


@pytest.fixture
def filled(client: WireClient, topic: str) -> str:
    """A topic with five records, of which the first two were deleted."""
    for number in range(5):
        assert produce(client, topic, batch_of([b"%d" % number])).base_offset == number
    assert delete_records(client, topic, 2) == (OK, 2)
    return topic


def delete_records(
    client: WireClient, topic: str, offset: int, partition: int = 0
) -> tuple[ErrorCode, int]:
    asked = DeleteRecordsPartition(partition_index=partition, offset=offset)
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name=topic, partitions=[asked])], timeout_ms=10_000
    )
    ((answer,),) = (entry.partitions for entry in client.call(request, 2).topics)
    return ErrorCode(answer.error_code), answer.low_watermark


def values_of(answer: Any) -> int:
    return len(answer.records or b"")


@pytest.mark.parametrize("offset", [0, 1, 6, 2**62, -1, -2, -(2**63)])
def test_an_offset_out_of_range_tells_where_the_log_is(
    client: WireClient, filled: str, kafka_broker: BrokerTarget, offset: int
) -> None:
    answer = fetch(client, filled, offset)
    assert answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    # Apache Kafka leaves them out, and librdkafka is grateful for them.
    expected = (2, 5) if kafka_broker.embedded else (-1, -1)
    assert (answer.log_start_offset, answer.high_watermark) == expected
    assert values_of(answer) == 0


def test_the_log_end_is_in_range(client: WireClient, filled: str) -> None:
    answer = fetch(client, filled, 5)
    assert (answer.error_code, answer.high_watermark, values_of(answer)) == (OK, 5, 0)
    assert values_of(fetch(client, filled, 4)) > 0


def test_a_log_whose_records_are_all_deleted(client: WireClient, filled: str) -> None:
    assert delete_records(client, filled, -1) == (OK, 5)
    assert fetch(client, filled, 4).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert fetch(client, filled, 5).error_code == OK
    assert list_offsets(client, filled, EARLIEST).offset == 5
    assert produce(client, filled, batch_of()).base_offset == 5


@pytest.mark.parametrize("offset", [6, 2**62, -2])
def test_records_beyond_the_end_cannot_be_deleted(
    client: WireClient, filled: str, offset: int
) -> None:
    assert delete_records(client, filled, offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert list_offsets(client, filled, EARLIEST).offset == 2


def test_records_deleted_already(client: WireClient, filled: str) -> None:
    assert delete_records(client, filled, 1) == (OK, 2)


def test_records_of_a_compacted_topic_cannot_be_deleted(
    client: WireClient, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(**{"cleanup.policy": "compact"})
    assert produce(client, topic, batch_of(key=b"k")).base_offset == 0
    assert delete_records(client, topic, 1) == (ErrorCode.POLICY_VIOLATION, -1)
    assert fetch(client, topic).error_code == OK


@pytest.mark.parametrize("place", [("no-such-topic", 0), (None, 1), (None, -1), ("", 0)])
@pytest.mark.parametrize("version", [4, 11, 12])
def test_fetching_from_nowhere(
    client: WireClient, filled: str, place: tuple[str | None, int], version: int
) -> None:
    name, partition = filled if place[0] is None else place[0], place[1]
    # A long wait: the error must not be held back.
    answer = fetch(
        client, name, partition=partition, version=version, max_wait_ms=60_000, min_bytes=1
    )
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert (answer.high_watermark, values_of(answer)) == (-1, 0)


@pytest.mark.parametrize("version", [13, 16])
def test_fetching_from_an_unknown_topic_id(client: WireClient, version: int) -> None:
    answer = fetch(client, NOBODYS_ID, version=version, max_wait_ms=60_000, min_bytes=1)
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_a_partition_that_the_topic_with_that_id_lacks(client: WireClient, filled: str) -> None:
    answer = fetch(client, topic_id_of(client, filled), partition=7, version=13)
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize(
    "limits",
    [
        {"max_bytes": 0},
        {"partition_max_bytes": 0},
        {"max_bytes": 2**31 - 1, "partition_max_bytes": 2**31 - 1, "min_bytes": -7},
    ],
)
def test_strange_limits(client: WireClient, filled: str, limits: dict[str, int]) -> None:
    """At least one batch comes whatever the limits are, so that a consumer can go on."""
    answer = fetch(client, filled, 2, **limits)
    assert answer.error_code == OK
    assert values_of(answer) > 0


@pytest.mark.parametrize("limit", ["max_bytes", "partition_max_bytes"])
def test_negative_limits(
    client: WireClient, filled: str, kafka_broker: BrokerTarget, limit: str
) -> None:
    answer = fetch(client, filled, 2, **{limit: -5})
    assert answer.error_code == (OK if kafka_broker.embedded else ErrorCode.UNKNOWN_SERVER_ERROR)


@pytest.mark.parametrize("version", [9, 11, 12])
def test_leader_epochs_of_the_past_and_the_future(
    client: WireClient, filled: str, version: int
) -> None:
    stale, present, future = epochs_around(client, filled)
    assert fetch(client, filled, 2, version=version, current_leader_epoch=present).error_code == OK
    answer = fetch(client, filled, 2, version=version, current_leader_epoch=future)
    assert answer.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    if stale >= 0:
        answer = fetch(client, filled, 2, version=version, current_leader_epoch=stale)
        assert answer.error_code == ErrorCode.FENCED_LEADER_EPOCH


def epochs_around(client: WireClient, topic: str) -> tuple[int, int, int]:
    """The epoch before, the one in force, and the one after."""
    epoch = list_offsets(client, topic, LATEST).leader_epoch
    assert epoch >= 0
    return epoch - 1, epoch, epoch + 1


def test_list_offsets_minds_the_leader_epoch(client: WireClient, filled: str) -> None:
    _, present, future = epochs_around(client, filled)
    right = list_offsets(client, filled, LATEST, current_leader_epoch=present)
    assert (right.error_code, right.offset) == (OK, 5)
    wrong = list_offsets(client, filled, LATEST, current_leader_epoch=future)
    assert (wrong.error_code, wrong.offset) == (ErrorCode.UNKNOWN_LEADER_EPOCH, -1)


def end_of_epoch(
    client: WireClient, topic: str, epoch: int, *, current: int = -1, partition: int = 0
) -> Any:
    asked = OffsetForLeaderPartition(
        partition=partition, current_leader_epoch=current, leader_epoch=epoch
    )
    request = OffsetForLeaderEpochRequest(
        replica_id=-1, topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])]
    )
    ((answer,),) = (entry.partitions for entry in client.call(request, 4).topics)
    return answer


def test_the_end_of_an_epoch(client: WireClient, filled: str) -> None:
    _, present, future = epochs_around(client, filled)
    known = end_of_epoch(client, filled, present)
    assert (known.error_code, known.leader_epoch, known.end_offset) == (OK, present, 5)
    unknown = end_of_epoch(client, filled, future + 9)
    assert (unknown.error_code, unknown.leader_epoch, unknown.end_offset) == (OK, -1, -1)
    ahead = end_of_epoch(client, filled, present, current=future)
    assert ahead.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    nowhere = end_of_epoch(client, filled, present, partition=4)
    assert nowhere.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_consumer_that_read_another_history(client: WireClient, filled: str) -> None:
    """KIP-595: the epoch of the last record that it has is not the one of this log there."""
    _, _, future = epochs_around(client, filled)
    answer = fetch(client, filled, 4, version=12, last_fetched_epoch=future)
    assert answer.error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert values_of(answer) == 0


def test_list_offsets_of_special_times(client: WireClient, filled: str) -> None:
    assert list_offsets(client, filled, LATEST).offset == 5
    assert list_offsets(client, filled, EARLIEST).offset == 2
    last = list_offsets(client, filled, MAX_TIMESTAMP)
    assert (last.error_code, last.offset >= 2, last.timestamp > 0) == (OK, True, True)
    assert list_offsets(client, filled, EARLIEST_LOCAL, version=8).offset == 2
    assert list_offsets(client, filled, LATEST_TIERED, version=9).offset == -1
    first = list_offsets(client, filled, 0)
    assert (first.error_code, first.offset) == (OK, 2)
    later = list_offsets(client, filled, now_ms() + 3_600_000)
    assert (later.error_code, later.offset, later.timestamp) == (OK, -1, -1)


@pytest.mark.parametrize(
    ("timestamp", "version"),
    [
        (MAX_TIMESTAMP, 6),
        (EARLIEST_LOCAL, 7),
        (LATEST_TIERED, 8),
        (EARLIEST_PENDING, 10),
        (-7, 11),
        (-(2**63), 11),
    ],
)
def test_special_times_of_a_later_version(
    client: WireClient, filled: str, timestamp: int, version: int
) -> None:
    answer = list_offsets(client, filled, timestamp, version=version)
    assert (answer.error_code, answer.offset) == (ErrorCode.UNSUPPORTED_VERSION, -1)


@pytest.mark.parametrize("place", [("no-such-topic", 0), (None, 3), (None, -1)])
def test_offsets_of_nowhere(client: WireClient, filled: str, place: tuple[str | None, int]) -> None:
    name, partition = filled if place[0] is None else place[0], place[1]
    answer = list_offsets(client, name, LATEST, partition=partition)
    expected = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1)
    assert (answer.error_code, answer.offset, answer.timestamp) == expected


def test_a_partition_asked_for_twice(client: WireClient, filled: str) -> None:
    asked = [ListOffsetsPartition(partition_index=0, timestamp=LATEST) for _ in range(2)]
    request = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=filled, partitions=asked)]
    )
    (entry,) = client.call(request, 7).topics
    assert {answer.error_code for answer in entry.partitions} == {ErrorCode.INVALID_REQUEST}
    assert {answer.offset for answer in entry.partitions} == {-1}


def session(
    client: WireClient, topic: str | Uuid | None, session_id: int, epoch: int, version: int = 12
) -> Any:
    request = fetch_request(topic, 2, session_id=session_id, session_epoch=epoch)
    return client.call(request, version)


def test_a_fetch_session_that_nobody_opened(client: WireClient, filled: str) -> None:
    answer = session(client, filled, 123_456, 1)
    assert (answer.error_code, answer.session_id, answer.responses) == (
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        0,
        [],
    )


@pytest.mark.parametrize("epoch", [2, 5, 2**31 - 1])
def test_a_fetch_session_out_of_step(client: WireClient, filled: str, epoch: int) -> None:
    opened = session(client, filled, 0, 0)
    assert opened.error_code == OK
    assert opened.session_id > 0
    answer = session(client, None, opened.session_id, epoch)
    assert answer.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert answer.responses == []
    in_step = session(client, None, opened.session_id, 1)
    assert in_step.error_code == OK


def test_a_fetch_session_that_turns_to_topic_ids(client: WireClient, filled: str) -> None:
    opened = session(client, filled, 0, 0)
    answer = session(client, None, opened.session_id, 1, version=13)
    assert answer.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_a_closed_fetch_session_is_forgotten(client: WireClient, filled: str) -> None:
    opened = session(client, filled, 0, 0)
    closed = session(client, filled, opened.session_id, -1)
    assert (closed.error_code, closed.session_id) == (OK, 0)
    answer = session(client, None, opened.session_id, 1)
    assert answer.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_a_partition_of_a_session_that_is_unknown_is_told_every_time(client: WireClient) -> None:
    opened = session(client, "no-such-topic", 0, 0)
    for epoch in (1, 2):
        answer = session(client, None, opened.session_id, epoch)
        ((data,),) = (entry.partitions for entry in answer.responses)
        assert data.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
