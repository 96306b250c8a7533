"""The handler of DescribeQuorum: the one partition that has a quorum."""

import pathlib
import random
from typing import Any

import pytest

from tests.handler_bench import HandlerBench
from tests.log_setup import NOW_MS
from tierbroker.base.ids import ZERO_UUID, Uuid
from tierbroker.broker.handlers import describe_quorum
from tierbroker.controller.raft.config import RaftConfig
from tierbroker.controller.raft.core import RaftCore
from tierbroker.controller.raft.log_view import LogView
from tierbroker.controller.raft.types import ReplicaKey, Voter, VoterEndpoint, VoterSet
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    RequestPartitionData,
    RequestTopicData,
    encode_response,
)

DIRECTORY = Uuid(b"d" * 16)
METADATA = "__cluster_metadata"


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    """A leader of one, with four entries, three of them committed."""
    local = ReplicaKey(1, DIRECTORY)
    core = RaftCore(
        local=local,
        voter_set=VoterSet((Voter(local, (VoterEndpoint("CONTROLLER", "here", 9093),)),)),
        voters_logged=True,
        log=LogView(),
        quorum_state=None,
        config=RaftConfig(),
        rng=random.Random(1),
        now_ms=0,
    )
    core.tick(0)
    core.propose([b"one", b"two"])
    core.advance(3)
    core.propose([b"three"])
    made = HandlerBench(tmp_path)
    made.controller.core = core  # type: ignore[attr-defined] # only this handler asks for it
    return made


def describe(bench: HandlerBench, *asked: tuple[str, list[int]]) -> Any:
    topics = [
        RequestTopicData(name, [RequestPartitionData(index) for index in indexes])
        for name, indexes in asked
    ]
    return describe_quorum.handle(DescribeQuorumRequest(topics=topics), bench.context(2))


def test_the_quorum(bench: HandlerBench) -> None:
    answer = describe(bench, (METADATA, [0]))
    ((partition,),) = (topic.partitions for topic in answer.topics)
    assert (answer.error_code, partition.error_code) == (ErrorCode.NONE, ErrorCode.NONE)
    assert (partition.leader_id, partition.leader_epoch, partition.high_watermark) == (1, 1, 3)
    (voter,) = partition.current_voters
    assert (voter.replica_id, voter.replica_directory_id, voter.log_end_offset) == (1, DIRECTORY, 4)
    assert (voter.last_fetch_timestamp, voter.last_caught_up_timestamp) == (NOW_MS, NOW_MS)
    assert partition.observers == []
    (node,) = answer.nodes
    assert [(one.name, one.host, one.port) for one in node.listeners] == [
        ("CONTROLLER", "here", 9093)
    ]


@pytest.mark.parametrize("version", [0, 1])
def test_versions_that_know_no_directories(bench: HandlerBench, version: int) -> None:
    request = DescribeQuorumRequest([RequestTopicData(METADATA, [RequestPartitionData(0)])])
    answer = describe_quorum.handle(request, bench.context(version))
    assert encode_response(answer, version)
    assert answer.topics[0].partitions[0].current_voters[0].replica_directory_id == ZERO_UUID


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [("t", [0])],
        [(METADATA, [1])],
        [(METADATA, [0, 0])],
        [(METADATA, [0]), ("t", [0])],
        [(METADATA, [])],
    ],
)
def test_anything_else(bench: HandlerBench, asked: list[tuple[str, list[int]]]) -> None:
    answer = describe(bench, *asked)
    assert answer.error_code == ErrorCode.NONE
    found = [
        (topic.topic_name, [one.partition_index for one in topic.partitions])
        for topic in answer.topics
    ]
    assert found == asked
    codes = {one.error_code for topic in answer.topics for one in topic.partitions}
    assert codes <= {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert answer.nodes == []


def test_a_node_that_does_not_lead(bench: HandlerBench) -> None:
    bench.controller.core.resign()  # type: ignore[attr-defined]
    answer = describe(bench, (METADATA, [0]))
    assert (answer.error_code, answer.topics) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, [])
