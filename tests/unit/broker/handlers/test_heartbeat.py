"""The handler of Heartbeat: the coordinator's word, at once."""

import pathlib

from tests.fake_groups import GroupBench
from tierbroker.broker.handlers import heartbeat
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.heartbeat import HeartbeatRequest


def test_heartbeat(tmp_path: pathlib.Path) -> None:
    bench = GroupBench(tmp_path)
    request = HeartbeatRequest(group_id="g", generation_id=3, member_id="m")
    answer = heartbeat.handle(request, bench.context(4))
    assert answer.error_code == ErrorCode.REBALANCE_IN_PROGRESS
    assert bench.groups.calls == [(request,)]
