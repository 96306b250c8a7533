"""The handler of SyncGroup: from version 5 on the protocol must be named."""

import pathlib

import pytest

from tests.fake_groups import GroupBench
from tierbroker.base.pending import Pending
from tierbroker.broker.handlers import sync_group
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


@pytest.mark.parametrize("version", range(5))
def test_older_clients_name_no_protocol(tmp_path: pathlib.Path, version: int) -> None:
    bench = GroupBench(tmp_path)
    answer = sync_group.handle(SyncGroupRequest(group_id="g"), bench.context(version))
    assert isinstance(answer, Pending)
    bench.groups.pending.resolve(SyncGroupResponse(assignment=b"a"))
    assert answer.result().assignment == b"a"


@pytest.mark.parametrize(("kind", "name"), [(None, "range"), ("consumer", None), (None, None)])
def test_newer_clients_must(tmp_path: pathlib.Path, kind: str | None, name: str | None) -> None:
    bench = GroupBench(tmp_path)
    request = SyncGroupRequest(group_id="g", protocol_type=kind, protocol_name=name)
    answer = sync_group.handle(request, bench.context(5))
    assert answer == SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    assert bench.groups.calls == []


def test_with_both_names_it_is_the_coordinators_matter(tmp_path: pathlib.Path) -> None:
    bench = GroupBench(tmp_path)
    request = SyncGroupRequest(group_id="g", protocol_type="consumer", protocol_name="range")
    assert sync_group.handle(request, bench.context(5)) is bench.groups.pending
    assert bench.groups.calls == [(request,)]
