"""The handler of JoinGroup: what each version may be told."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import join_group
from tierbroker.groups.client import Client
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse, encode_response


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> GroupBench:
    return GroupBench(tmp_path)


@pytest.mark.parametrize("version", range(10))
def test_what_the_coordinator_is_told(bench: GroupBench, version: int) -> None:
    request = JoinGroupRequest(group_id="g", session_timeout_ms=7, rebalance_timeout_ms=9)
    join_group.handle(request, bench.context(version))
    ((asked, client, how),) = bench.groups.calls
    assert asked.rebalance_timeout_ms == (7 if version == 0 else 9)
    assert client == Client("test", "/127.0.0.1")
    assert how == {"member_id_required": version >= 4, "may_skip_assignment": version >= 9}


def test_a_static_member_needs_no_id(bench: GroupBench) -> None:
    join_group.handle(JoinGroupRequest(group_instance_id="i"), bench.context(5))
    assert bench.groups.calls[0][2]["member_id_required"] is False


@pytest.mark.parametrize("protocol", [None, ""])
@pytest.mark.parametrize("version", range(10))
def test_an_answer_without_a_protocol_can_be_encoded(
    bench: GroupBench, version: int, protocol: str | None
) -> None:
    answer = join_group.handle(JoinGroupRequest(), bench.context(version))
    assert not answer.done
    bench.groups.pending.resolve(
        JoinGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID, protocol_name=protocol)
    )
    assert answer.result().protocol_name == ("" if version < 7 else None)
    assert encode_response(answer.result(), version)


def test_a_failure_is_passed_on(bench: GroupBench) -> None:
    answer = join_group.handle(JoinGroupRequest(), bench.context(0))
    bench.groups.pending.fail(CloseConnection("x"))
    assert isinstance(answer.error, CloseConnection)
