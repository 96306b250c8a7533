"""The handler of DeleteGroups: an error for each group, named once."""

import pathlib

from tests.fake_groups import GroupBench
from tierbroker.base.errors import CloseConnection
from tierbroker.broker.handlers import delete_groups
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest


def test_delete(tmp_path: pathlib.Path) -> None:
    bench = GroupBench(tmp_path)
    deleting = delete_groups.handle(DeleteGroupsRequest(["b", "a", "b"]), bench.context(2))
    assert bench.groups.calls == [(["b", "a"],)]
    bench.groups.pending.resolve({"b": ErrorCode.NON_EMPTY_GROUP, "a": ErrorCode.NONE})
    assert deleting.result().results == [
        DeletableGroupResult("b", ErrorCode.NON_EMPTY_GROUP),
        DeletableGroupResult("a", ErrorCode.NONE),
    ]


def test_a_failure_is_passed_on(tmp_path: pathlib.Path) -> None:
    bench = GroupBench(tmp_path)
    deleting = delete_groups.handle(DeleteGroupsRequest(["g"]), bench.context(2))
    bench.groups.pending.fail(CloseConnection("x"))
    assert isinstance(deleting.error, CloseConnection)
