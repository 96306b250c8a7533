"""What is said when an offload takes longer than one wants to wait."""

from typing import Any

from tierbroker.cli.tier_offload_run import SHOWN_PARTITIONS, not_there

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
    assert "The store is down since 1970-01-01T00:00:00Z: no answer." in told
