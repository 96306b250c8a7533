"""What a tiered log lends to the cold tier, and what it lets go."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_batches
from tierbroker.base.errors import OffsetOutOfRangeError
from tierbroker.hot import log_cutting, log_tiering
from tierbroker.hot.log import Log
from tierbroker.records import epoch_lineage, offset_index, producer_snapshot, time_index
from tierbroker.records.epoch_lineage import EpochEntry
from tierbroker.records.producer_snapshot import ProducerEntry

HOUR_MS = 3_600_000


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(
        str(tmp_path / "t-0"),
        values={"remote.storage.enable": True, "local.retention.ms": 1000},
    )


def _filled(setup: LogSetup, segments: int = 6) -> Log:
    """Segments of three batches of about 1.2 KiB each; the last one is active."""
    log = setup.open()
    sequence = 0
    while len(log.segments) < segments:
        epoch = len(log.segments)
        if log.latest_epoch < epoch:
            log.assign_epoch_start(epoch, log.log_end_offset)
        log.append([make_batch([b"v" * 1200], producer_id=7, sequence=sequence)], epoch)
        sequence += 1
    log.flush()
    return log


def test_closed_segments_are_contiguous_and_end_before_the_active_one(setup: LogSetup) -> None:
    log = _filled(setup)
    found = log_tiering.closed_segments(log, 0)
    assert len(found) == 5
    assert found[0].base_offset == 0
    for before, after in pairwise(found):
        assert after.base_offset == before.end_offset + 1
    assert found[-1].end_offset == log.segments.active.base_offset - 1
    assert all(segment.max_timestamp_ms == NOW_MS for segment in found)
    assert log_tiering.closed_segments(log, found[2].base_offset + 1) == found[2:]
    assert log_tiering.closed_segments(log, found[-1].end_offset + 1) == []


def test_a_segment_is_lent_with_all_that_reading_it_needs(setup: LogSetup) -> None:
    log = _filled(setup)
    for segment in log_tiering.closed_segments(log, 0):
        content = log_tiering.open_segment(log, segment.base_offset)
        (part,) = content.log
        data = setup.fs.pread(part.fd, part.length, part.position)  # type: ignore[union-attr]
        part.lease.release()  # type: ignore[union-attr]
        assert len(data) == content.log_bytes == segment.size_bytes
        offset_index.check(content.offset_index, segment.base_offset, content.log_bytes)
        time_index.check(content.time_index, segment.base_offset)
        lineage = epoch_lineage.decode(content.lineage)
        assert lineage == tuple(
            e for e in log.epochs.lineage if e.start_offset <= segment.end_offset
        )
        (producer,) = producer_snapshot.decode(content.producers)
        assert producer.last_offset == segment.end_offset


def test_what_is_no_closed_segment_is_not_lent(setup: LogSetup) -> None:
    log = _filled(setup)
    for offset in (1, log.segments.active.base_offset, 10_000):
        with pytest.raises(LookupError):
            log_tiering.open_segment(log, offset)


def test_local_retention_lets_go_what_the_tier_has_and_keeps_the_epochs(setup: LogSetup) -> None:
    log = _filled(setup)
    lineage = log.epochs.lineage
    third = log.segments[2].base_offset
    late_ms = NOW_MS + HOUR_MS
    assert log_cutting.evict_segments(log, NOW_MS, third) == []
    assert len(log_cutting.evict_segments(log, late_ms, third)) == 2
    assert log.log_start_offset == third
    with pytest.raises(OffsetOutOfRangeError):
        log.read(0, 100, log.log_end_offset)
    assert log.epochs.lineage == lineage
    assert len(log_cutting.evict_segments(log, late_ms, log.log_end_offset)) == 3
    assert log.segments.first is log.segments.active
    log.close()
    again = setup.open(clean=True, recovery_point=log.log_end_offset)
    assert again.epochs.lineage == lineage
    assert again.log_start_offset == log.log_start_offset
    assert [e.producer_id for e in again.producer_state.entries()] == [7]


def test_local_retention_by_size_counts_the_active_segment(setup: LogSetup) -> None:
    setup.values["local.retention.ms"] = -2
    setup.values["local.retention.bytes"] = 4096 + 2000
    setup.values["retention.ms"] = -1
    log = _filled(setup)
    log_cutting.evict_segments(log, NOW_MS, log.log_end_offset)
    assert 4096 + 2000 <= log.size_bytes < 4096 + 2000 + 4096


def test_a_log_starts_behind_what_the_tier_holds(setup: LogSetup) -> None:
    log = setup.open()
    lineage = (EpochEntry(2, 0), EpochEntry(4, 70))
    producer = ProducerEntry(7, 1, 41, 99, 0, NOW_MS, 0, -1)
    log_tiering.start_at(log, 100, lineage, [producer])
    assert (log.log_start_offset, log.log_end_offset) == (100, 100)
    log.append([make_batch([b"next"], producer_id=7, producer_epoch=1, sequence=42)], 5)
    log.flush()
    setup.crash()
    again = setup.open(recovery_point=100, log_start_offset=100)
    assert [header.base_offset for _, header in read_batches(again)] == [100]
    assert again.epochs.lineage[:2] == lineage
    (known,) = again.producer_state.entries()
    assert (known.producer_id, known.last_sequence) == (7, 42)


def test_a_quiet_segment_is_closed_at_its_age(setup: LogSetup) -> None:
    setup.values["tier.max.lag.ms"] = 60_000
    log = setup.open()
    assert not log_tiering.roll_if_quiet(log, NOW_MS + HOUR_MS)
    log.append([make_batch()], 0)
    assert not log_tiering.roll_if_quiet(log, NOW_MS + 59_999)
    assert log_tiering.roll_if_quiet(log, NOW_MS + 60_000)
    assert [segment.end_offset for segment in log_tiering.closed_segments(log, 0)] == [0]
    assert not log_tiering.roll_if_quiet(log, NOW_MS + HOUR_MS)


def test_snapshots_stay_as_long_as_their_segments_do(setup: LogSetup) -> None:
    log = _filled(setup, segments=8)
    assert len(log.snapshots.offsets) == 7
    log_cutting.evict_segments(log, NOW_MS + HOUR_MS, log.segments[6].base_offset)
    assert log.snapshots.offsets == [segment.base_offset for segment in log.segments][-3:] or (
        len(log.snapshots.offsets) == 3
    )
