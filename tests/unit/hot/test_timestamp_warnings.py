from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch
from tierbroker.hot.timestamp_warnings import WARN_EVERY_MS, TimestampWarnings

DAY_MS = 24 * 3_600_000


@pytest.mark.parametrize(
    ("newest_ms", "expected"),
    [
        (NOW_MS + 2 * DAY_MS, "t-0 holds a record 48 hours ahead of the clock"),
        (NOW_MS - 10 * DAY_MS, "t-0 was given records whose timestamps were 240 hours old"),
        (NOW_MS + DAY_MS // 2, None),
        (NOW_MS - DAY_MS // 2, None),
    ],
)
def test_far_timestamps_are_warned_about_once_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, newest_ms: int, expected: str | None
) -> None:
    setup = LogSetup(str(tmp_path / "t-0"))
    setup.values["retention.ms"] = DAY_MS
    log = setup.open()
    log.append([make_batch(times=newest_ms)], 0)
    setup.fs.set_mtime_ms(log.segments.first.handle.path, NOW_MS)
    warnings = TimestampWarnings()
    for now_ms in (NOW_MS, NOW_MS + 1000, NOW_MS + WARN_EVERY_MS):
        warnings.look(log, now_ms)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (2 if expected else 0)
    assert not told or told[0].startswith(expected or "")


def test_without_a_limit_of_age_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup = LogSetup(str(tmp_path / "t-0"))
    setup.values["retention.ms"] = -1
    log = setup.open()
    log.append([make_batch(times=NOW_MS + 2 * DAY_MS)], 0)
    TimestampWarnings().look(log, NOW_MS)
    assert not caplog.records
