"""The lines between broker and cleaning child come back as what went in."""

import dataclasses

import pytest

from tierbroker.hot.cleaning.job import (
    ActiveProducer,
    CleanError,
    CleanJob,
    CleanProgress,
    CleanResult,
    CleanStatistics,
    NewSegment,
    SegmentFile,
    decode_job,
    decode_reply,
    encode_job,
    encode_reply,
)

JOB = CleanJob(
    job_id=7,
    directory="/data/orders-0",
    topic="orders",
    partition=0,
    segments=(SegmentFile(0, 1000, 5), SegmentFile(40, 2000, 6)),
    later_segments=(80, 120),
    first_dirty_offset=40,
    end_offset=80,
    producers=(ActiveProducer(4000, 1, 77), ActiveProducer(4001, 2, -1)),
    now_ms=10**12,
    delete_retention_ms=2**63 - 1,
    table_bytes=1 << 20,
    load_factor=0.9,
    segment_bytes=1 << 30,
    index_bytes=10 << 20,
    index_interval_bytes=4096,
    max_message_bytes=1 << 20,
    io_buffer_bytes=1 << 19,
    io_bytes_per_second=1.7976931348623157e308,
)
STATISTICS = CleanStatistics(*range(9), True, *range(2), 0.5, 1.5, 1.25)
REPLIES = (
    CleanProgress(7, 500, 3000),
    CleanResult(
        7, (NewSegment(0, (0, 40), (".log", ".index", ".timeindex"), 9, 80, 3, 6),), 80, STATISTICS
    ),
    CleanError(7, "no v2 batch", True, "00000000000000000000.log", 61, 0),
)


def test_job_round_trip_is_one_line() -> None:
    line = encode_job(JOB)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_job(line) == JOB


@pytest.mark.parametrize("reply", REPLIES)
def test_reply_round_trip(reply: CleanProgress | CleanResult | CleanError) -> None:
    line = encode_reply(reply)
    assert line.count(b"\n") == 1
    assert decode_reply(line) == reply


def test_unknown_reply_is_refused() -> None:
    with pytest.raises(ValueError, match="does not say"):
        decode_reply(b'{"surprise":{}}\n')


def test_line_with_a_field_too_many_is_refused() -> None:
    fields = dataclasses.asdict(REPLIES[0]) | {"more": 1}
    with pytest.raises(TypeError):
        decode_reply(repr({"progress": fields}).replace("'", '"').encode())
