"""The handler of LeaveGroup: one member before version 3, several from then on."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import leave_group
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.leave_group import (
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    MemberResponse,
    encode_response,
)

GONE = ErrorCode.UNKNOWN_MEMBER_ID


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    return GroupBench(tmp_path)


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (LeaveGroupResponse(members=[MemberResponse("m")]), ErrorCode.NONE),
        (LeaveGroupResponse(members=[MemberResponse("m", error_code=GONE)]), GONE),
        (LeaveGroupResponse(error_code=ErrorCode.NOT_COORDINATOR), ErrorCode.NOT_COORDINATOR),
    ],
)
def test_the_error_of_the_only_member_is_that_of_the_answer(
    bench: GroupBench, version: int, answer: LeaveGroupResponse, error: ErrorCode
) -> None:
    leaving = leave_group.handle(
        LeaveGroupRequest(group_id="g", member_id="m"), bench.context(version)
    )
    assert bench.groups.calls[0][0].members == [MemberIdentity("m")]
    bench.groups.pending.resolve(
        LeaveGroupResponse(error_code=answer.error_code, members=list(answer.members))
    )
    assert leaving.result() == LeaveGroupResponse(error_code=error)
    assert encode_response(leaving.result(), version)


def test_each_member_has_an_error_of_its_own(bench: GroupBench) -> None:
    members = [MemberIdentity("a"), MemberIdentity("", "i")]
    leaving = leave_group.handle(LeaveGroupRequest(group_id="g", members=members), bench.context(3))
    assert bench.groups.calls[0][0].members == members
    answer = LeaveGroupResponse(members=[MemberResponse("a"), MemberResponse("", "i", GONE)])
    bench.groups.pending.resolve(answer)
    assert leaving.result() == answer


def test_a_failure_is_passed_on(bench: GroupBench) -> None:
    leaving = leave_group.handle(LeaveGroupRequest(), bench.context(0))
    bench.groups.pending.fail(CloseConnection("x"))
    assert isinstance(leaving.error, CloseConnection)
