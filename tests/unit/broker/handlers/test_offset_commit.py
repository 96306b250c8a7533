"""The handler of OffsetCommit: what exists is committed, what does not is refused."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import offset_commit
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    encode_response,
)

NAME_VERSIONS = range(2, 10)
STRANGE_ID = Uuid(b"\x07" * 16)
UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

Answers = dict[str | bytes, list[tuple[int, int]]]


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    return GroupBench(tmp_path)


def topic(key: str | Uuid, *partitions: int) -> OffsetCommitRequestTopic:
    asked = [OffsetCommitRequestPartition(index, 7) for index in partitions]
    if isinstance(key, str):
        return OffsetCommitRequestTopic(name=key, partitions=asked)
    return OffsetCommitRequestTopic(topic_id=key, partitions=asked)


def commit(bench: GroupBench, version: int, *topics: OffsetCommitRequestTopic) -> Answers:
    """Errors by partition, by topic; the coordinator accepts what it gets."""
    request = OffsetCommitRequest(group_id="g", topics=list(topics))
    answer = offset_commit.handle(request, bench.context(version))
    if isinstance(answer, Pending):
        bench.groups.pending.resolve(_accepted(bench.groups.calls[0][0]))
        answer = answer.result()
    assert encode_response(answer, version)
    return {
        (entry.name if version < 10 else entry.topic_id): [
            (partition.partition_index, partition.error_code) for partition in entry.partitions
        ]
        for entry in answer.topics
    }


def _accepted(request: OffsetCommitRequest) -> OffsetCommitResponse:
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=entry.name,
                partitions=[
                    OffsetCommitResponsePartition(partition.partition_index)
                    for partition in entry.partitions
                ],
            )
            for entry in request.topics
        ]
    )


@pytest.mark.parametrize("version", NAME_VERSIONS)
def test_by_name(bench: GroupBench, version: int) -> None:
    topic_id = bench.add_topic("t", 2)
    assert commit(bench, version, topic("t", 0, 1)) == {"t": [(0, 0), (1, 0)]}
    (asked,) = bench.groups.calls[0][0].topics
    assert (asked.name, asked.topic_id) == ("t", topic_id)


def test_by_id(bench: GroupBench) -> None:
    topic_id = bench.add_topic("t", 2)
    assert commit(bench, 10, topic(topic_id, 1, 0)) == {topic_id: [(1, 0), (0, 0)]}
    (asked,) = bench.groups.calls[0][0].topics
    assert (asked.name, asked.topic_id) == ("t", topic_id)


@pytest.mark.parametrize("version", NAME_VERSIONS)
def test_what_does_not_exist_is_refused_and_the_rest_committed(
    bench: GroupBench, version: int
) -> None:
    bench.add_topic("t", 2)
    asked = (topic("t", 1, 2, -1, 0), topic("gone", 0, 1))
    assert commit(bench, version, *asked) == {
        "t": [(2, UNKNOWN), (-1, UNKNOWN), (1, 0), (0, 0)],
        "gone": [(0, UNKNOWN), (1, UNKNOWN)],
    }


def test_an_unknown_id_has_an_error_of_its_own(bench: GroupBench) -> None:
    topic_id = bench.add_topic("t")
    asked = (topic(STRANGE_ID, 0), topic(topic_id, 0, 3), topic(ZERO_UUID, 4))
    assert commit(bench, 10, *asked) == {
        STRANGE_ID: [(0, ErrorCode.UNKNOWN_TOPIC_ID)],
        topic_id: [(3, UNKNOWN), (0, 0)],
        ZERO_UUID: [(4, ErrorCode.UNKNOWN_TOPIC_ID)],
    }


@pytest.mark.parametrize("version", [2, 9, 10])
def test_nothing_that_exists_never_reaches_the_coordinator(bench: GroupBench, version: int) -> None:
    key: str | Uuid = "gone" if version < 10 else STRANGE_ID
    error = UNKNOWN if version < 10 else ErrorCode.UNKNOWN_TOPIC_ID
    assert commit(bench, version, topic(key, 0)) == {key: [(0, error)]}
    assert commit(bench, version) == {}
    assert bench.groups.calls == []


def test_a_topic_named_twice(bench: GroupBench) -> None:
    bench.add_topic("t", 2)
    asked = (topic("t", 0, 5), topic("t", 1, 6))
    assert commit(bench, 9, *asked) == {"t": [(5, UNKNOWN), (6, UNKNOWN), (0, 0), (1, 0)]}


@pytest.mark.parametrize("version", range(2, 11))
def test_a_group_that_is_not_there(bench: GroupBench, version: int) -> None:
    topic_id = bench.add_topic("t")
    asked = topic("t" if version < 10 else topic_id, 0)
    request = OffsetCommitRequest(generation_id_or_member_epoch=3, topics=[asked])
    answer = offset_commit.handle(request, bench.context(version))
    assert isinstance(answer, Pending)
    refused = [OffsetCommitResponsePartition(0, ErrorCode.GROUP_ID_NOT_FOUND)]
    bench.groups.pending.resolve(
        OffsetCommitResponse(topics=[OffsetCommitResponseTopic("t", partitions=refused)])
    )
    ((result,),) = (entry.partitions for entry in answer.result().topics)
    assert result.error_code == (
        ErrorCode.ILLEGAL_GENERATION if version < 9 else ErrorCode.GROUP_ID_NOT_FOUND
    )


@pytest.mark.parametrize("version", [8, 9])
def test_a_failure_is_passed_on(bench: GroupBench, version: int) -> None:
    bench.add_topic("t")
    request = OffsetCommitRequest(topics=[topic("t", 0, 1)])
    answer = offset_commit.handle(request, bench.context(version))
    bench.groups.pending.fail(CloseConnection("x"))
    assert isinstance(answer, Pending)
    assert isinstance(answer.error, CloseConnection)
