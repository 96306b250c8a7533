from typing import Any

import pytest

from tierbroker.cli.tier_status_run import summary

STORE: dict[str, Any] = {
    "url": "s3://bucket/prefix",
    "state": "up",
    "refusal": None,
    "down_since_ms": None,
    "last_error": None,
    "last_error_at_ms": None,
    "requests": {"put": 3, "get": 2, "list": 0},
    "failed_requests": 1,
    "bytes_uploaded": 2048,
    "bytes_downloaded": 10,
}
TOLD: dict[str, Any] = {
    "store": STORE,
    "checkpoint": {"age_ms": 12_000, "failure": None},
    "garbage_objects": 0,
    "offloading": [],
}


def lines(**changed: object) -> str:
    return "\n".join(summary({**TOLD, **changed}))


def test_a_store_that_is_well() -> None:
    assert lines() == (
        "Store       s3://bucket/prefix: up\n"
        "Checkpoint  12 s ago\n"
        "Requests    3 PUT, 2 GET, 0 LIST; 1 failed; 2.0 KiB up, 10 B down, since the broker's "
        "start"
    )


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (
            {"state": "down", "down_since_ms": 0, "last_error": "no route"},
            "down since 1970-01-01T00:00:00Z: no route",
        ),
        ({"state": "refused", "refusal": "another cluster's"}, "not used any more: another"),
        (
            {"last_error": "slow down", "last_error_at_ms": 1000},
            "up; failed at 1970-01-01T00:00:01Z: slow down",
        ),
    ],
)
def test_a_store_that_is_not(store: dict[str, Any], said: str) -> None:
    assert said in lines(store={**STORE, **store})


def test_what_else_there_is_to_say() -> None:
    assert "none yet" in lines(checkpoint=None)
    failed = lines(checkpoint={"failure": "no route"})
    assert "none yet" in failed
    assert "the latest attempt failed: no route" in failed
    assert "7 objects wait to be deleted" in lines(garbage_objects=7)
    assert "1 object waits to be deleted" in lines(garbage_objects=1)
    offloading = [{"topic": "t", "evict": True, "since_ms": 0}]
    assert "Offloading  t and off this disk, since 1970" in lines(offloading=offloading)
    assert "tierbroker dev --cold URL" in lines(store=None)
