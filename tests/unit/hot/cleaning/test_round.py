"""A cleaning round over files: what it reads, writes, leaves out and refuses."""

import os
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import FileSystem, OsFileSystem
from tierbroker.hot.cleaning.job import CleanJob, CleanProgress, CleanResult, SegmentFile
from tierbroker.hot.cleaning.round import CleaningRound, Surroundings
from tierbroker.hot.cleaning.segment_reader import DamagedSegment
from tierbroker.records import offset_index, time_index, txn_index
from tierbroker.records.batch import crc_valid, walk
from tierbroker.records.builder import build_batch
from tierbroker.records.control import ControlType, EndTxnMarker, build_marker_batch
from tierbroker.records.record import Record, iterate

ABORTED = txn_index.AbortedTxn(9, 40, 60, 60)


class CleanedLog:
    """A directory of segments, ten batches of four records each; keys come again and again."""

    def __init__(self, directory: Path, segments: int = 3, keys: int = 7) -> None:
        self.directory = directory
        self.last: dict[bytes, int] = {}
        self.segments: list[SegmentFile] = []
        self.end = 0
        for _ in range(segments):
            self.add_segment(keys)

    def add_segment(self, keys: int = 7) -> None:
        batches: list[bytes] = []
        index = bytearray()
        base = self.end
        for _ in range(10):
            records = [
                Record(0, 1_000 + self.end + number, b"key-%d" % ((self.end + number) % keys), b"v")
                for number in range(4)
            ]
            if batches:
                index += offset_index.pack_entry(base, self.end + 3, len(b"".join(batches)))
            batches.append(build_batch(records, base_offset=self.end))
            for record in records:
                assert record.key is not None
                self.last[record.key] = self.end
                self.end += 1
        self.write(base, batches)
        (self.directory / f"{base:020}.index").write_bytes(index)

    def write(self, base: int, batches: list[bytes]) -> None:
        content = b"".join(batches)
        (self.directory / f"{base:020}.log").write_bytes(content)
        self.segments.append(SegmentFile(base, len(content), 77 + base))

    def job(self, **changes: object) -> CleanJob:
        fields: dict[str, object] = {
            "job_id": 3,
            "directory": str(self.directory),
            "topic": "t",
            "partition": 0,
            "segments": tuple(self.segments),
            "later_segments": (self.end,),
            "first_dirty_offset": 0,
            "end_offset": self.end,
            "producers": (),
            "now_ms": 10**6,
            "delete_retention_ms": 1_000,
            "table_bytes": 10_000,
            "load_factor": 0.9,
            "segment_bytes": 1 << 20,
            "index_bytes": 1 << 20,
            "index_interval_bytes": 100,
            "max_message_bytes": 1 << 20,
            "io_buffer_bytes": 300,
            "io_bytes_per_second": 1e12,
        }
        return CleanJob(**(fields | changes))  # type: ignore[arg-type]

    def clean(self, fs: FileSystem | None = None, **changes: object) -> CleanResult:
        surroundings = Surroundings(
            fs=fs or OsFileSystem(durable=False),
            monotonic=lambda: 0.0,
            cpu_seconds=lambda: 0.0,
            pause=lambda _: None,
            report=lambda _: None,
        )
        return CleaningRound(self.job(**changes), surroundings).run()

    def cleaned(self, base: int, suffix: str = ".log") -> bytes:
        return (self.directory / f"{base:020}{suffix}.cleaned").read_bytes()

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("*.cleaned"))


def offsets_in(data: bytes) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for position, header in walk(data):
        assert crc_valid(data, position, header)
        for record in iterate(data[position : position + header.size_bytes]):
            assert record.key is not None
            found[record.key] = record.offset
    return found


def test_segments_become_one_with_the_last_of_each_key(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path)
    result = log.clean()
    (segment,) = result.segments
    assert segment.replaces == (0, 40, 80)
    assert segment.files == (".log", ".index", ".timeindex")
    assert (segment.base_offset, segment.next_offset) == (0, 120)
    assert (segment.max_timestamp_ms, segment.last_modified_ms) == (1_119, 157)
    data = log.cleaned(0)
    assert len(data) == segment.size_bytes
    assert offsets_in(data) == log.last
    offset_index.check(log.cleaned(0, ".index"), 0, len(data))
    time_index.check(log.cleaned(0, ".timeindex"), 0)
    assert time_index.entry(log.cleaned(0, ".timeindex")[-12:], 0, 0) == (1_119, 119)
    assert result.cleaned_end_offset == 120
    statistics = result.statistics
    assert (statistics.records_read, statistics.records_kept) == (120, 7)
    assert statistics.bytes_before == sum(each.size_bytes for each in log.segments)
    assert statistics.bytes_after == statistics.bytes_written == len(data)
    assert (statistics.keys_in_table, statistics.table_full) == (7, False)


def test_a_clean_part_is_cleaned_by_the_keys_of_the_dirty_one(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=2, keys=40)
    result = log.clean(first_dirty_offset=57, segment_bytes=1)
    # Half a batch is dirty: 57 to 79 have the keys of 17 to 39.
    kept = [offsets_in(log.cleaned(segment.base_offset)) for segment in result.segments]
    assert [sorted(each.values()) for each in kept] == [list(range(17))]
    assert result.segments[0].replaces == (0,)


def test_what_would_come_out_the_same_is_left_alone(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=1, keys=1_000)
    result = log.clean()
    assert (result.segments, result.cleaned_end_offset) == ((), 40)
    assert not log.leftovers()


def test_everything_may_go(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=2)
    log.segments.pop()
    log.write(40, [build_batch([Record(0, 5, None, b"v")], base_offset=79)])
    result = log.clean(segment_bytes=1)
    assert [segment.size_bytes > 0 for segment in result.segments] == [True, True]
    result = log.clean(segment_bytes=1, end_offset=81)
    assert [segment.size_bytes > 0 for segment in result.segments] == [True, False]
    assert log.cleaned(40) == b""
    assert result.segments[1].next_offset == 40


def test_a_full_table_ends_the_round(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=3, keys=1_000)
    (tmp_path / "00000000000000000080.log").write_bytes(b"not read")
    result = log.clean(table_bytes=1_000)
    assert result.statistics.table_full
    assert 10 < result.cleaned_end_offset < 40
    assert result.segments == ()


def test_an_aborted_transaction_is_indexed_where_its_marker_stays(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=1)
    data = build_batch(
        [Record(0, 5, b"key-0", b"aborted")],
        base_offset=40,
        producer_id=9,
        producer_epoch=0,
        base_sequence=0,
        transactional=True,
    )
    abort = bytearray(
        build_marker_batch(
            EndTxnMarker(ControlType.ABORT, 0), timestamp_ms=5, producer_id=9, producer_epoch=0
        )
    )
    abort[:8] = (60).to_bytes(8, "big")
    log.write(40, [data, bytes(abort)])
    # The active segment has it in the first case, and may be growing meanwhile.
    later = tmp_path / f"{61:020}.txnindex"
    later.write_bytes(txn_index.pack_entry(ABORTED) + b"half an entry")
    result = log.clean(end_offset=61, later_segments=(61,))
    (segment,) = result.segments
    assert segment.files[-1] == ".txnindex"
    assert list(txn_index.entries(log.cleaned(0, ".txnindex"))) == [ABORTED]
    kept = [header for _, header in walk(log.cleaned(0))]
    assert [header.base_offset for header in kept if header.control] == [60]
    assert not [header for header in kept if header.transactional and not header.control]


@pytest.mark.parametrize("position_in_batch", [3, 16, 30, 70])
def test_damage_is_named_and_nothing_is_left(tmp_path: Path, position_in_batch: int) -> None:
    log = CleanedLog(tmp_path)
    size = log.segments[1].size_bytes // 10
    path = tmp_path / f"{40:020}.log"
    content = bytearray(path.read_bytes())
    content[4 * size + position_in_batch] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DamagedSegment) as caught:
        log.clean()
    assert (caught.value.file, caught.value.position) == (path.name, 4 * size)
    assert not log.leftovers()


def test_damage_in_the_clean_part_is_found_in_the_second_pass(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path)
    path = tmp_path / f"{0:020}.log"
    content = bytearray(path.read_bytes())
    content[80] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedSegment, match="CRC"):
        log.clean(first_dirty_offset=80)
    assert not log.leftovers()


def test_a_segment_that_is_shorter_than_known_is_damage(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path)
    os.truncate(tmp_path / f"{80:020}.log", log.segments[2].size_bytes - 5)
    with pytest.raises(DamagedSegment):
        log.clean()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, keys=90)
    fs = FaultyFileSystem(OsFileSystem(durable=False))
    fs.capacity_bytes = 500
    with pytest.raises(OSError, match="No space"):
        log.clean(fs=fs)
    assert not log.leftovers()


def test_files_of_an_interrupted_round_are_written_anew(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path)
    for suffix in ".log", ".index", ".txnindex":
        (tmp_path / f"{0:020}{suffix}.cleaned").write_bytes(b"old" * 1_000)
    log.clean()
    assert offsets_in(log.cleaned(0)) == log.last
    assert len(log.leftovers()) == 3


def test_progress_is_told_once_a_second(tmp_path: Path) -> None:
    log = CleanedLog(tmp_path, segments=1)
    value = os.urandom(1 << 20)
    big = [build_batch([Record(0, 5, b"big", value)], base_offset=40 + at) for at in range(5)]
    log.write(40, big)
    told: list[CleanProgress] = []
    seconds = iter(range(10**6))
    surroundings = Surroundings(
        fs=OsFileSystem(durable=False),
        monotonic=lambda: float(next(seconds)),
        cpu_seconds=lambda: 0.0,
        pause=lambda _: None,
        report=told.append,
    )
    CleaningRound(log.job(end_offset=45), surroundings).run()
    assert len(told) >= 5
    total = 2 * sum(segment.size_bytes for segment in log.segments)
    assert {each.bytes_total for each in told} == {total}
    assert [each.bytes_done for each in told] == sorted(each.bytes_done for each in told)
    assert told[-1].bytes_done <= total
