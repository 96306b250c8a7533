"""The handler of OffsetDelete: what does not exist is refused, unless the group is."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import offset_delete
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    made = GroupBench(tmp_path)
    made.add_topic("t", 2)
    return made


def request(**topics: list[int]) -> OffsetDeleteRequest:
    return OffsetDeleteRequest(
        group_id="g",
        topics=[
            OffsetDeleteRequestTopic(name, [OffsetDeleteRequestPartition(at) for at in partitions])
            for name, partitions in topics.items()
        ],
    )


def answer_of(name: str, **errors: int) -> OffsetDeleteResponseTopic:
    return OffsetDeleteResponseTopic(
        name, [OffsetDeleteResponsePartition(int(at[1:]), code) for at, code in errors.items()]
    )


def test_what_exists_is_deleted(bench: GroupBench) -> None:
    deleting = offset_delete.handle(request(t=[0, 1]), bench.context(0))
    assert bench.groups.calls == [(request(t=[0, 1]),)]
    done = OffsetDeleteResponse(topics=[answer_of("t", p0=0, p1=0)])
    bench.groups.pending.resolve(done)
    assert deleting.result() == done


def test_the_rest_is_refused(bench: GroupBench) -> None:
    deleting = offset_delete.handle(request(t=[0, 2], gone=[1]), bench.context(0))
    assert bench.groups.calls == [(request(t=[0]),)]
    bench.groups.pending.resolve(OffsetDeleteResponse(topics=[answer_of("t", p0=0)]))
    assert deleting.result().topics == [
        answer_of("t", p2=UNKNOWN, p0=0),
        answer_of("gone", p1=UNKNOWN),
    ]


def test_an_error_of_the_group_stands_alone(bench: GroupBench) -> None:
    deleting = offset_delete.handle(request(gone=[1]), bench.context(0))
    assert bench.groups.calls == [(request(),)]
    refusal = OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND)
    bench.groups.pending.resolve(refusal)
    assert deleting.result() == OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND)


def test_a_failure_is_passed_on(bench: GroupBench) -> None:
    deleting = offset_delete.handle(request(gone=[1]), bench.context(0))
    bench.groups.pending.fail(CloseConnection("x"))
    assert isinstance(deleting.error, CloseConnection)
