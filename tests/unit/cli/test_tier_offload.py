"""What is said when an offload takes longer than one wants to wait."""

from typing import Any
from unittest.mock import Mock

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.cli.tier_offload_run import PATIENCE_S, SHOWN_PARTITIONS, Look, not_there

WAITING = {"partition": 1, "base_offset": 40, "size_bytes": 1536, "reason": "it is kept back"}


def status(*partitions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    store = {"state": "up", "last_error": None}
    return {"store": store, "checkpoint": None, "partitions": partitions, **changes}


def partition(number: int, segments: int, waiting: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "partition": number,
        "lag_bytes": segments * 1536,
        "lag_segments": segments,
        "waiting": waiting,
    }


def test_each_partition_that_is_behind_says_why() -> None:
    found = status(partition(0, 0, None), partition(1, 1, WAITING), partition(2, 2, None))
    assert not_there("clicks", found, 90_000).splitlines() == [
        "Not all of clicks is in the store after 90 s.",
        "  partition 1, from offset 40 on: 1.5 KiB in 1 segment; it is kept back",
        "  partition 2: 3.0 KiB in 2 segments; on its way",
        "What was uploaded stays there, and the rest goes on as the topic's settings say. To see "
        "how far it is: tierbroker tier status clicks",
    ]


def test_of_many_partitions_some_are_shown() -> None:
    many = [partition(number, 1, WAITING) for number in range(SHOWN_PARTITIONS + 1)]
    assert "  and 1 more partition\n" in not_there("clicks", status(*many), 1000)


def test_a_checkpoint_or_the_store_may_be_what_is_missing() -> None:
    told = not_there("clicks", status(partition(0, 0, None)), 1000)
    assert "the checkpoint that names it is not written yet." in told
    down = {"state": "down", "down_since_ms": 0, "last_error": "no answer"}
    failed = status(partition(0, 0, None), checkpoint={"failure": "no space"}, store=down)
    told = not_there("clicks", failed, 1000)
    assert "the checkpoint that names it fails: no space." in told
    assert "The store is down since 1970-01-01T00:00:00Z: no answer.\n" in told
    asks = {**down, "last_error": "Is it mounted?"}
    assert "Is it mounted?\n" in not_there("clicks", status(store=asks), 1000)


def test_why_nothing_moves_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    broker = Mock()
    look = Look(broker, "clicks", clock)
    for _ in range(3):
        for number in (1, 2):  # of several that wait the broker names another one each time
            waiting = {**WAITING, "partition": number}
            broker.tier.return_value = {"topics": [{"lag_bytes": 7, "waiting": waiting}]}
            assert look.at_it() == 7
            clock.advance(int(PATIENCE_S * 1000))
    assert capsys.readouterr().err == "partition 2 waits at offset 40: it is kept back\n"
