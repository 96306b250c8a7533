"""Strangers cannot choose the rate of the log."""

import logging

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.server.rate_limited_log import RateLimitedLog

logger = logging.getLogger("test")


def test_a_burst_then_a_rate_then_a_count(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    log = RateLimitedLog(clock, per_second=1.0, burst=3)
    for number in range(100):
        log.warning(logger, "bad request %d", number)
    assert [record.getMessage() for record in caplog.records] == [
        "bad request 0",
        "bad request 1",
        "bad request 2",
    ]
    clock.advance(1000)
    log.warning(logger, "bad request %d", 100)
    assert caplog.records[-1].getMessage() == "bad request 100 (97 similar lines left out)"
    log.warning(logger, "bad request %d", 101)
    assert len(caplog.records) == 4
    clock.advance(60_000)
    for number in range(10):
        log.warning(logger, "bad request %d", number)
    assert len(caplog.records) == 7
