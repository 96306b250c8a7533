"""Damage in a log: kept as it is, reported, remembered, and everything around it served."""

from pathlib import Path

import pytest

from tests.log_setup import NOW_MS, LogSetup, make_batch, read_records
from tierbroker.base.errors import KafkaStorageError
from tierbroker.hot.damage import Damage
from tierbroker.hot.file_names import DAMAGED_REGIONS_FILE
from tierbroker.hot.log import Log
from tierbroker.hot.log_damage import add_damage
from tierbroker.records.batch import walk
from tierbroker.records.record import Record, iterate

RECORDS = 60
RECORD = b"r" * 200


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    return LogSetup(str(tmp_path / "t-0"))


def filled(setup: LogSetup) -> list[Record]:
    """30 batches of two records in several segments, and the process is gone."""
    log = setup.open()
    for index in range(RECORDS // 2):
        log.append([make_batch([RECORD, b"%d" % index], times=NOW_MS + index)], 0)
    log.flush()
    expected = read_records(log)
    assert len(log.segments) > 2
    setup.kill()
    return expected


def closed(setup: LogSetup) -> list[Record]:
    filled(setup)
    log = setup.open(recovery_point=RECORDS)
    expected = read_records(log)
    log.close()
    return expected


def segment_path(setup: LogSetup, slot: int) -> Path:
    return sorted(Path(setup.directory).glob("*.log"))[slot]


def batches_of(path: Path) -> list[tuple[int, int, int]]:
    """(position, size, base offset) of each batch in the file."""
    return [(at, header.size_bytes, header.base_offset) for at, header in walk(path.read_bytes())]


def harm(path: Path, position: int, data: bytes) -> bytes:
    """Overwrite bytes; answers the file as it is now."""
    content = bytearray(path.read_bytes())
    assert content[position : position + len(data)] != data
    content[position : position + len(data)] = data
    path.write_bytes(content)
    return bytes(content)


def flip(path: Path, position: int, bit: int = 0) -> bytes:
    return harm(path, position, bytes([path.read_bytes()[position] ^ (1 << bit)]))


def served(log: Log) -> dict[int, Record]:
    """Every record that a client finds which goes past errors one offset at a time."""
    found: dict[int, Record] = {}
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        try:
            data = log.read_bytes(offset, 1000, log.log_end_offset)
        except KafkaStorageError:
            offset += 1
            continue
        assert data, f"a fetch at {offset} gives nothing"
        for at, header in walk(data):
            batch = memoryview(data)[at : at + header.size_bytes]
            found.update({record.offset: record for record in iterate(batch)})
            offset = header.next_offset
    return found


def without(expected: list[Record], *offsets: int) -> dict[int, Record]:
    return {record.offset: record for record in expected if record.offset not in offsets}


HEADER_BYTES = {
    "base offset, high": (1, 0),
    "base offset, low": (7, 1),
    "base offset, off by much": (5, 4),
    "length, too long": (8, 6),
    "length, a little": (11, 2),
    "magic": (16, 0),
    "crc": (18, 3),
    "attributes": (22, 0),
    "last offset delta": (26, 4),
    "record count": (60, 1),
    "records": (100, 0),
}


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("place", [0, 1, -1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("slot", [0, 1, -1])
@pytest.mark.parametrize("part", HEADER_BYTES)
def test_a_damaged_batch_is_lost_alone(
    setup: LogSetup, part: str, slot: int, place: int, clean: bool
) -> None:
    expected = closed(setup) if clean else filled(setup)
    path = segment_path(setup, slot)
    batches = batches_of(path)
    position, _, base_offset = batches[place]
    byte, bit = HEADER_BYTES[part]
    before = flip(path, position + byte, bit)
    for index in (".index", ".timeindex"):
        path.with_suffix(index).unlink()  # so that the segment is read whatever it is
    log = setup.open(clean=clean, recovery_point=RECORDS)
    last = slot == -1 and position == batches[-1][0]
    if last and part in ("base offset, low", "base offset, off by much"):
        # Higher than expected at the end of the log: as compaction leaves it.
        assert log.log_end_offset >= RECORDS
    else:
        assert log.log_end_offset == RECORDS
        assert served(log) == without(expected, base_offset, base_offset + 1)
    assert path.read_bytes() == before
    end_offset = log.log_end_offset
    log.append([make_batch([b"new"])], 0)
    assert served(log)[end_offset].value == b"new"
    log.flush()
    before_crash = served(log)
    setup.kill()
    assert served(setup.open(recovery_point=end_offset + 1)) == before_crash


def test_a_fetch_ends_before_the_damage_and_goes_on_behind_it(setup: LogSetup) -> None:
    filled(setup)
    path = segment_path(setup, 0)
    batches = batches_of(path)
    position, size, base_offset = batches[2]
    flip(path, position + 80)
    log = setup.open(recovery_point=RECORDS)  # the first segment is trusted
    add_damage(
        log, Damage(0, position, position + size, base_offset, base_offset + 2), "as a scrub says"
    )
    head = log.read_bytes(0, 1 << 20, RECORDS)
    assert len(head) == position
    for offset in (base_offset, base_offset + 1):
        with pytest.raises(KafkaStorageError, match=f"goes on at offset {base_offset + 2}"):
            log.read(offset, 1 << 20, RECORDS)
    tail = log.read_bytes(base_offset + 2, 1 << 20, RECORDS)
    assert tail == path.read_bytes()[position + size :]


def test_damage_is_remembered_where_a_clean_start_does_not_look(
    setup: LogSetup, caplog: pytest.LogCaptureFixture
) -> None:
    expected = filled(setup)
    path = segment_path(setup, 0)
    position, size, base_offset = batches_of(path)[1]
    sound = path.read_bytes()
    damaged = flip(path, position + 90)
    log = setup.open()
    assert log.damage == (Damage(0, position, position + size, base_offset, base_offset + 2),)
    log.close()
    note = Path(setup.directory, DAMAGED_REGIONS_FILE)
    noticed = f"{NOW_MS} the%20CRC%20does%20not%20match"
    assert note.read_text() == f"0\n1\n0 {position} {position + size} 2 4 {noticed}\n"
    caplog.clear()
    again = setup.open(clean=True, recovery_point=RECORDS)
    assert served(again) == without(expected, 2, 3)
    (told,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    for part in (str(path), f"bytes {position} to {position + size}", "offsets 2 to 3", "Restore"):
        assert part.lower() in told.lower()
    again.close()
    assert path.read_bytes() == damaged
    path.write_bytes(sound)
    mended = setup.open(clean=True, recovery_point=RECORDS)
    assert mended.damage == ()
    assert read_records(mended) == expected
    assert not note.exists()


def test_a_batch_in_a_value_does_not_pass_for_the_log(setup: LogSetup) -> None:
    log = setup.open()
    inner, _ = make_batch([b"inner"], base_offset=1)
    log.append([make_batch([b"first"])], 0)
    log.append([make_batch([b"a" * 50 + inner + b"z" * 50])], 0)
    log.append([make_batch([b"third"])], 0)
    log.flush()
    expected = read_records(log)
    setup.kill()
    path = segment_path(setup, 0)
    flip(path, batches_of(path)[1][0] + 18)
    log = setup.open(recovery_point=3)
    assert served(log) == without(expected, 1)


def test_several_damaged_places(setup: LogSetup) -> None:
    expected = filled(setup)
    lost = []
    for slot in range(len(list(Path(setup.directory).glob("*.log")))):
        path = segment_path(setup, slot)
        batches = batches_of(path)
        for place in (0, 2, 3):
            if place < len(batches):
                position, _, base_offset = batches[place]
                flip(path, position + 8 + place)
                lost += [base_offset, base_offset + 1]
    log = setup.open()
    found = served(log)
    # Above the recovery point the end of the log may be torn; the rest is damage.
    kept = {o: r for o, r in without(expected, *lost).items() if o < log.log_end_offset}
    assert found == kept
    assert log.log_end_offset >= RECORDS - 4


def test_damage_above_the_recovery_point_before_valid_batches_is_no_tail(setup: LogSetup) -> None:
    expected = filled(setup)
    path = segment_path(setup, -1)
    _, _, base_offset = batches_of(path)[-2]
    flip(path, batches_of(path)[-2][0] + 100)
    log = setup.open()
    assert served(log) == without(expected, base_offset, base_offset + 1)


def test_a_torn_tail_behind_damage_is_cut(setup: LogSetup) -> None:
    setup.values["internal.segment.bytes"] = 3000
    expected = filled(setup)
    path = segment_path(setup, -1)
    batches = batches_of(path)
    _, _, base_offset = batches[0]
    flip(path, batches[0][0] + 100)
    path.write_bytes(path.read_bytes()[:-1])
    log = setup.open()
    assert log.log_end_offset == RECORDS - 2
    assert served(log) == without(expected, base_offset, base_offset + 1, 58, 59)
    assert path.stat().st_size == batches[-1][0]


@pytest.mark.parametrize("whole_batches", [True, False])
@pytest.mark.parametrize("slot", [0, -1])
def test_a_durable_end_that_is_missing(setup: LogSetup, slot: int, whole_batches: bool) -> None:
    expected = filled(setup)
    path = segment_path(setup, slot)
    position, _, base_offset = batches_of(path)[-1]
    path.write_bytes(path.read_bytes()[: position + (0 if whole_batches else 70)])
    log = setup.open(recovery_point=base_offset + 2 if slot == 0 else RECORDS)
    assert served(log) == without(expected, base_offset, base_offset + 1)
    assert log.log_end_offset == RECORDS
    for _ in range(2):
        setup.kill()
        log = setup.open()  # the recovery points are lost, the note is not
        assert served(log) == without(expected, base_offset, base_offset + 1)
    log.close()
    again = setup.open(clean=True, recovery_point=RECORDS)
    assert served(again) == without(expected, base_offset, base_offset + 1)


def test_producers_and_epochs_come_from_what_is_left(setup: LogSetup) -> None:
    log = setup.open()
    for index in range(10):
        batch = make_batch([RECORD], producer_id=7, sequence=index)
        log.append([batch], index // 5)
    log.flush()
    setup.kill()
    path = segment_path(setup, 0)
    flip(path, batches_of(path)[3][0] + 20)
    log = setup.open()
    state = log.producer_state.get(7)
    assert state is not None
    assert state.last_sequence == 9
    assert [tuple(entry) for entry in log.epochs.lineage] == [(0, 0), (1, 5)]


def test_searches_by_time_pass_damage(setup: LogSetup) -> None:
    filled(setup)
    path = segment_path(setup, 1)
    position, _, base_offset = batches_of(path)[1]
    harm(path, position, b"\xff" * 200)
    log = setup.open()
    found = log.offset_for_timestamp(NOW_MS + base_offset // 2, RECORDS)
    assert found is not None
    assert found.offset == base_offset + 2
    newest = log.offset_of_max_timestamp(RECORDS)
    assert newest is not None
    assert newest.offset == RECORDS - 2


@pytest.mark.parametrize("inside", [-2, 0, 1, 2, 4])
def test_truncation_around_damage(setup: LogSetup, inside: int) -> None:
    expected = filled(setup)
    path = segment_path(setup, 1)
    position, _, base_offset = batches_of(path)[2]
    harm(path, position + 20, b"\xff" * 9)
    log = setup.open()
    log.truncate_to(base_offset + inside)
    end_offset = log.log_end_offset
    assert end_offset in (base_offset + inside, base_offset + inside - 1)
    assert bool(log.damage) == (inside >= 2)
    assert served(log) == {
        offset: record
        for offset, record in without(expected, base_offset, base_offset + 1).items()
        if offset < end_offset
    }
    log.append([make_batch([b"new"])], 0)
    assert served(log)[end_offset].value == b"new"
    before = served(log)
    setup.kill()
    assert served(setup.open()) == before


def test_the_note_forgets_segments_that_are_gone(setup: LogSetup) -> None:
    filled(setup)
    flip(segment_path(setup, 0), 70)
    log = setup.open()
    assert log.damage
    log.advance_log_start(log.segments[1].base_offset)
    assert log.damage == ()
    assert not Path(setup.directory, DAMAGED_REGIONS_FILE).exists()


def test_an_unreadable_note_counts_as_none(setup: LogSetup) -> None:
    expected = closed(setup)
    Path(setup.directory, DAMAGED_REGIONS_FILE).write_bytes(b"junk")
    log = setup.open(clean=True, recovery_point=RECORDS)
    assert read_records(log) == expected
