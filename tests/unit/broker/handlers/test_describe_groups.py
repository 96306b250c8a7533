"""The handler of DescribeGroups: a group that is not there, and authorized operations."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import describe_groups
from tierbroker.broker.operations import GROUP_OPERATIONS, NOT_REQUESTED
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    encode_response,
)

NOT_FOUND = ErrorCode.GROUP_ID_NOT_FOUND


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    return GroupBench(tmp_path)


def describe(bench: GroupBench, version: int, with_operations: bool = False) -> DescribedGroup:
    request = DescribeGroupsRequest(["g"], with_operations)
    response = describe_groups.handle(request, bench.context(version))
    assert encode_response(response, version)
    (group,) = response.groups
    return group


@pytest.mark.parametrize("version", range(7))
def test_a_group_that_is_not_there(bench: GroupBench, version: int) -> None:
    bench.groups.described = DescribedGroup(NOT_FOUND, "Group g not found.", "g", "Dead")
    group = describe(bench, version, with_operations=version >= 3)
    if version < 6:
        assert (group.error_code, group.error_message) == (ErrorCode.NONE, None)
    else:
        assert (group.error_code, group.error_message) == (NOT_FOUND, "Group g not found.")
    shown = 3 <= version < 6
    assert group.authorized_operations == (GROUP_OPERATIONS if shown else NOT_REQUESTED)
    assert group.group_state == "Dead"


@pytest.mark.parametrize("version", range(3, 7))
@pytest.mark.parametrize("wanted", [True, False])
def test_operations_are_shown_when_asked_for(bench: GroupBench, version: int, wanted: bool) -> None:
    group = describe(bench, version, wanted)
    assert group.authorized_operations == (GROUP_OPERATIONS if wanted else NOT_REQUESTED)


def test_the_bits_are_those_of_kafka() -> None:
    assert GROUP_OPERATIONS == 3400


@pytest.mark.parametrize("version", range(7))
def test_other_errors_stay(bench: GroupBench, version: int) -> None:
    bench.groups.described = DescribedGroup(ErrorCode.NOT_COORDINATOR, None, "g")
    group = describe(bench, version)
    assert group.error_code == ErrorCode.NOT_COORDINATOR


def test_a_group_named_often_does_not_fill_the_memory(bench: GroupBench) -> None:
    members = [DescribedGroupMember(member_id="m")] * 1_000
    bench.groups.described = DescribedGroup(group_id="g", members=members)
    answering = describe_groups.handle(DescribeGroupsRequest(["g"] * 100), bench.context(5))
    assert len(bench.answered(answering).groups) == 100
    answering = describe_groups.handle(DescribeGroupsRequest(["g"] * 101), bench.context(5))
    with pytest.raises(CloseConnection, match="more than 100000 members"):
        bench.answered(answering)
