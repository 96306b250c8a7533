"""The handler of OffsetFetch: one group or several, names or ids, errors where they belong."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.broker.handlers import offset_fetch
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
    encode_response,
)

LOADING = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
STRANGE_ID = Uuid(b"\x07" * 16)


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    return GroupBench(tmp_path)


def found(name: str, *offsets: int) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=name,
        partitions=[
            OffsetFetchResponsePartitions(index, offset, 3, "note")
            for index, offset in enumerate(offsets)
        ],
    )


def fetch(bench: GroupBench, version: int, request: OffsetFetchRequest) -> OffsetFetchResponse:
    answer = bench.answered(offset_fetch.handle(request, bench.context(version)))
    assert encode_response(answer, version)
    return answer


@pytest.mark.parametrize("version", range(1, 8))
def test_one_group(bench: GroupBench, version: int) -> None:
    bench.groups.fetched = OffsetFetchResponseGroup("g", [found("t", 4, -1)])
    asked = [OffsetFetchRequestTopic("t", [0, 1])]
    request = OffsetFetchRequest(group_id="g", topics=asked, require_stable=version == 7)
    assert fetch(bench, version, request).topics == [
        OffsetFetchResponseTopic(
            "t",
            [
                OffsetFetchResponsePartition(0, 4, 3, "note"),
                OffsetFetchResponsePartition(1, -1, 3, "note"),
            ],
        )
    ]
    wanted = OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("t", ZERO_UUID, [0, 1])])
    assert bench.groups.calls == [(wanted, version == 7)]


@pytest.mark.parametrize("version", range(2, 8))
def test_null_topics_mean_all(bench: GroupBench, version: int) -> None:
    fetch(bench, version, OffsetFetchRequest(group_id="g", topics=None))
    assert bench.groups.calls[0][0].topics is None


def test_the_error_of_the_group(bench: GroupBench) -> None:
    bench.groups.fetched = OffsetFetchResponseGroup("g", error_code=LOADING)
    asked = [OffsetFetchRequestTopic("t", [0, 5])]
    for version in range(2, 8):
        answer = fetch(bench, version, OffsetFetchRequest(group_id="g", topics=asked))
        assert answer == OffsetFetchResponse(error_code=LOADING)
    answer = fetch(bench, 1, OffsetFetchRequest(group_id="g", topics=asked))
    (topic,) = answer.topics
    assert topic.partitions == [
        OffsetFetchResponsePartition(index, -1, -1, "", LOADING) for index in (0, 5)
    ]


@pytest.mark.parametrize("version", [8, 9])
def test_several_groups(bench: GroupBench, version: int) -> None:
    bench.groups.fetched = OffsetFetchResponseGroup("g", [found("t", 4)])
    groups = [OffsetFetchRequestGroup("g"), OffsetFetchRequestGroup("h", topics=None)]
    answer = fetch(bench, version, OffsetFetchRequest(groups=groups, require_stable=True))
    assert answer.groups == [bench.groups.fetched] * 2
    assert bench.groups.calls == [(group, True) for group in groups]


def test_by_id(bench: GroupBench) -> None:
    topic_id = bench.add_topic("t")
    bench.groups.fetched = OffsetFetchResponseGroup("g", [found("t", 4)])
    asked = [
        OffsetFetchRequestTopics(topic_id=STRANGE_ID, partition_indexes=[0]),
        OffsetFetchRequestTopics(topic_id=topic_id, partition_indexes=[0]),
    ]
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", topics=asked)])
    (answer,) = fetch(bench, 10, request).groups
    assert [topic.topic_id for topic in answer.topics] == [topic_id, STRANGE_ID]
    (unknown,) = answer.topics[1].partitions
    assert unknown == OffsetFetchResponsePartitions(0, -1, -1, "", ErrorCode.UNKNOWN_TOPIC_ID)
    assert [topic.name for topic in bench.groups.calls[0][0].topics] == ["t"]


def test_all_by_id_leaves_out_topics_that_are_gone(bench: GroupBench) -> None:
    topic_id = bench.add_topic("t")
    bench.groups.fetched = OffsetFetchResponseGroup("g", [found("gone", 1), found("t", 4)])
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", topics=None)])
    (answer,) = fetch(bench, 10, request).groups
    assert [topic.topic_id for topic in answer.topics] == [topic_id]


def test_an_error_of_the_group_stands_alone(bench: GroupBench) -> None:
    bench.groups.fetched = OffsetFetchResponseGroup("g", error_code=LOADING)
    asked = [OffsetFetchRequestTopics(topic_id=STRANGE_ID, partition_indexes=[0])]
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", topics=asked)])
    assert fetch(bench, 10, request).groups == [bench.groups.fetched]
    assert bench.groups.fetched.topics == []


@pytest.mark.parametrize("version", [8, 10])
def test_a_group_named_often_does_not_fill_the_memory(bench: GroupBench, version: int) -> None:
    bench.groups.offsets_of_a_group = 1_000
    bench.groups.fetched = OffsetFetchResponseGroup("g", [])
    for times, named in ((1_000, None), (1_001, []), (1_001, None)):
        groups = [OffsetFetchRequestGroup(group_id="g", topics=named)] * times
        request = OffsetFetchRequest(groups=groups)
        if times > 1_000 and named is None:
            with pytest.raises(CloseConnection, match="more than 1000000 offsets"):
                fetch(bench, version, request)
        else:
            assert len(fetch(bench, version, request).groups) == times
