"""A thousand members in one group, five thousand groups of one: they form, and they stay.

What it costs is printed (`-s`), not judged: the bench does that.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from bench.process_cost import cpu_seconds, resident_mb
from integration.broker_processes import BrokerProcess
from integration.clients.group_crowd import BEATS
from integration.conftest import StartBroker

SECONDS = 10.0


def crowd(bootstrap: str, groups: int, members: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "integration.clients.group_crowd", bootstrap]
    command += [str(groups), str(members), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def own_broker(start_broker: StartBroker) -> BrokerProcess:
    """With Kafka's own delay, so that a group does not form member by member."""
    return start_broker({"group.initial.rebalance.delay.ms": "3000"})


@pytest.mark.parametrize(("groups", "members"), [(1, 1000), (5000, 1)])
def test_everybody_gets_in_and_stays(own_broker: BrokerProcess, groups: int, members: int) -> None:
    before_s, before_mb = cpu_seconds(own_broker.pid), resident_mb(own_broker.pid)
    seen = crowd(own_broker.bootstrap, groups, members)
    used_s = cpu_seconds(own_broker.pid) - before_s
    more_mb = resident_mb(own_broker.pid) - before_mb
    print(f"{groups} groups of {members}: {seen}; CPU {used_s:.1f} s, {more_mb:.0f} MB more")
    assert seen["rejoins"] == seen["evictions"] == seen["wrong_slices"] == 0
    assert seen["heartbeats"] >= groups * members * BEATS
