"""What a start after a crash must know of producers: all that they may send again."""

from pathlib import Path

import pytest

from tests.log_setup import LogSetup, make_batch
from tierbroker.hot.log import AppendResult


@pytest.mark.parametrize("before_roll", [1, 2, 4, 5])
def test_batches_in_flight_across_a_roll_are_still_known_after_a_kill(
    tmp_path: Path, before_roll: int
) -> None:
    """A snapshot keeps one batch of a producer; up to five may come again (KIP-360 clients end
    themselves over an OUT_OF_ORDER_SEQUENCE_NUMBER)."""
    setup = LogSetup(str(tmp_path / "t-0"))
    log = setup.open()
    for number in range(12):
        if number == 12 - 5 + before_roll:
            log.roll()
            log.flush()
            recovery_point = log.recovery_point
        log.append([make_batch(producer_id=7, sequence=number)], 0)
    if before_roll == 5:
        log.roll()
        log.flush()
        recovery_point = log.recovery_point
    setup.kill()
    log = setup.open(recovery_point=recovery_point)
    for number in range(7, 12):
        (result,) = log.append([make_batch(producer_id=7, sequence=number)], 1)
        assert isinstance(result, AppendResult), (number, result)
        assert (result.base_offset, result.duplicate) == (number, True)


def test_a_snapshot_below_all_segments_is_too_old_to_go_by(tmp_path: Path) -> None:
    """Retention took every segment, and a power cut the snapshot that was written with it."""
    setup = LogSetup(str(tmp_path / "t-0"), values={"retention.ms": 1000})
    log = setup.open()
    for number in range(6):
        log.append([make_batch(producer_id=7, sequence=number)], 0)
        if number == 2:
            log.roll()
    log.flush()
    recovery_point = log.recovery_point
    setup.clock.advance(10_000)
    log.delete_old_segments(setup.clock.now_ms(), log.log_end_offset)
    assert log.log_start_offset == 6
    newest = max(path for path in setup.fs.listdir(setup.directory) if path.endswith(".snapshot"))
    setup.fs.unlink(f"{setup.directory}/{newest}")
    setup.kill()
    log = setup.open(recovery_point=recovery_point, log_start_offset=6)
    (result,) = log.append([make_batch(producer_id=7, sequence=6)], 1)
    assert isinstance(result, AppendResult), result
