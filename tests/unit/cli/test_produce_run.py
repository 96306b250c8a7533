"""The tally of delivery reports, and the settings that produce sends with."""

from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError

from tierbroker.cli.bootstrap import Bootstrap
from tierbroker.cli.produce import ProduceOptions
from tierbroker.cli.produce_run import DeliveryTally, producer_settings


@dataclass
class FakeReport:
    """What the client library hands to a delivery report."""

    where: int | None
    at: int | None

    def partition(self) -> int | None:
        return self.where

    def offset(self) -> int | None:
        return self.at


def deliver(tally: DeliveryTally, *places: tuple[int | None, int | None]) -> None:
    for place in places:
        report: Any = FakeReport(*place)
        tally.on_delivery(None, report)


def test_counts_by_partition() -> None:
    tally = DeliveryTally()
    deliver(tally, (1, 7), (0, 3), (1, 9), (1, 5))
    assert tally.rows("t") == [("t", 0, 1, 3, 3), ("t", 1, 3, 5, 9)]
    assert (tally.delivered, tally.failed, tally.settled) == (4, 0, 4)


def test_acks_0_tells_no_offsets() -> None:
    tally = DeliveryTally()
    deliver(tally, (0, -1001), (0, None))
    assert tally.rows("t") == [("t", 0, 2, None, None)]


def test_refusals_are_counted_by_reason() -> None:
    tally = DeliveryTally()
    report: Any = FakeReport(0, None)
    for _ in range(2):
        tally.on_delivery(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), report)
    tally.refuse(KafkaError(KafkaError._UNKNOWN_PARTITION))
    assert tally.failed == 3
    assert tally.rows("t") == []
    assert sorted(tally.reasons.values()) == [1, 2]


def options(acks: str, *, bulk: bool) -> ProduceOptions:
    return ProduceOptions(
        "t", Bootstrap.parse("a:1"), "zstd", acks, None, (), as_json=False, show_progress=False,
        bulk=bulk,
    )  # fmt: skip


def test_a_stream_is_sent_without_duplicates() -> None:
    settings = producer_settings(options("all", bulk=True))
    assert settings["enable.idempotence"] is True
    assert settings["compression.type"] == "zstd"


def test_order_is_kept_where_idempotence_is_not_used() -> None:
    for chosen in (options("1", bulk=True), options("all", bulk=False)):
        settings = producer_settings(chosen)
        assert "enable.idempotence" not in settings
        assert settings["max.in.flight.requests.per.connection"] == 1
