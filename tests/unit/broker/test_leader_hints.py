"""Hints at another leader: only for errors of leadership, only where clients can reach it."""

import pathlib

import pytest

from tests.handler_bench import HandlerBench
from tierbroker.base.errors import (
    ApiError,
    FencedLeaderEpochError,
    KafkaStorageError,
    NotLeaderOrFollowerError,
    UnknownLeaderEpochError,
)
from tierbroker.broker.leader_hints import hinted_endpoints, leader_hint
from tierbroker.wire.fetch import LeaderIdAndEpoch


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> HandlerBench:
    made = HandlerBench(tmp_path)
    made.add_topic("t")
    return made


def hint(bench: HandlerBench, error: ApiError) -> LeaderIdAndEpoch | None:
    partition = bench.partitions.get("t", 0)
    return leader_hint(bench.services, partition, error, LeaderIdAndEpoch)


@pytest.mark.parametrize("kind", [NotLeaderOrFollowerError, FencedLeaderEpochError])
def test_the_registered_leader_is_named(bench: HandlerBench, kind: type[ApiError]) -> None:
    found = hint(bench, kind())
    assert found is not None
    assert (found.leader_id, found.leader_epoch) == (1, 0)


@pytest.mark.parametrize("kind", [UnknownLeaderEpochError, KafkaStorageError])
def test_other_errors_have_no_hint(bench: HandlerBench, kind: type[ApiError]) -> None:
    assert hint(bench, kind()) is None


def test_a_topic_that_is_gone_has_no_leader(bench: HandlerBench, tmp_path: pathlib.Path) -> None:
    partition = bench.partitions.get("t", 0)
    bench.controller.image = HandlerBench(tmp_path).controller.image
    error = NotLeaderOrFollowerError()
    assert leader_hint(bench.services, partition, error, LeaderIdAndEpoch) is None


def test_endpoints_are_named_once_and_for_the_clients_listener(bench: HandlerBench) -> None:
    hints = [LeaderIdAndEpoch(1, 0), None, LeaderIdAndEpoch(1, 4), LeaderIdAndEpoch(-1, 2)]
    ((broker_id, endpoint),) = hinted_endpoints(bench.services, "PLAINTEXT", hints)
    assert (broker_id, endpoint.port) == (1, 9093)
    assert hinted_endpoints(bench.services, "OTHER", hints) == []
    assert hinted_endpoints(bench.services, "PLAINTEXT", [LeaderIdAndEpoch(9, 0)]) == []
