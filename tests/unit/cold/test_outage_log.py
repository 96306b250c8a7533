"""An outage is a few lines, however often it is met."""

import logging

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.cold.outage_log import OutageLog

logger = logging.getLogger("tierbroker.test")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def outage(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> OutageLog:
    caplog.set_level(logging.INFO)
    return OutageLog(logger, clock, "cold reads")


def test_work_that_works_is_not_spoken_of(
    outage: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    outage.worked()
    assert caplog.messages == []


def test_its_beginning_a_word_a_minute_and_its_end(
    outage: OutageLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):  # two and a half minutes
        outage.failed("no read of t-0: it is down")
        clock.advance(500)
    outage.worked()
    outage.worked()
    assert caplog.messages == [
        "no read of t-0: it is down",
        "no read of t-0: it is down (failures: 121 in 60 s)",
        "no read of t-0: it is down (failures: 241 in 120 s)",
        "cold reads: well again; failures: 300 in 150 s",
    ]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3 + [logging.INFO]


def test_a_store_that_fails_now_and_then_is_one_word_a_minute_too(
    outage: OutageLog, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(119):
        outage.failed("it is down")
        outage.worked()
        clock.advance(1000)
    assert (
        caplog.messages
        == [
            "it is down",
            "cold reads: well again; failures: 1 in 0 s",
        ]
        * 2
    )
