"""The handler of ListGroups: the coordinator's list, with its filters."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.broker.handlers import list_groups
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.list_groups import (
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
    encode_response,
)


@pytest.mark.parametrize("version", range(6))
def test_list(tmp_path: pathlib.Path, version: int) -> None:
    bench = GroupBench(tmp_path)
    listed = [ListedGroup("g", "consumer", "Stable", "classic")]
    bench.groups.listed = (ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, listed)
    response = list_groups.handle(
        ListGroupsRequest(["Stable"], ["classic"]), bench.context(version)
    )
    assert response == ListGroupsResponse(
        error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, groups=listed
    )
    assert encode_response(response, version)
    assert bench.groups.calls == [(["Stable"], ["classic"])]
