"""Damage anywhere below the recovery point never loses a record outside the damaged batches."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log_setup import NOW_MS, LogSetup, make_batch
from tierbroker.base.errors import KafkaStorageError
from tierbroker.hot.log import Log
from tierbroker.records.batch import walk
from tierbroker.records.record import Record, iterate

LENGTH_AT, EPOCH_AT, MAGIC_AT = 8, 12, 16
"""No checksum covers base offset and leader epoch: the unit tests of damage harm those."""

sizes = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 400)), min_size=1, max_size=40)
# Where (as a share of all bytes), how many bytes, and what is written there.
places = st.tuples(
    st.floats(0, 1, exclude_max=True), st.integers(1, 700), st.integers(0, 255), st.booleans()
)


def read_around(log: Log) -> dict[int, Record]:
    """All that can be read, going past what answers an error."""
    found: dict[int, Record] = {}
    offset = log.log_start_offset
    while offset < log.log_end_offset:
        try:
            data = log.read_bytes(offset, 500, log.log_end_offset)
        except KafkaStorageError:
            following = [r.next_offset for r in log.damage if r.first_offset <= offset]
            offset = next(n for n in following if n > offset)
            continue
        assert data, f"a fetch at {offset} gives nothing"
        for at, header in walk(data):
            batch = memoryview(data)[at : at + header.size_bytes]
            found.update({record.offset: record for record in iterate(batch)})
            offset = header.next_offset
    return found


@settings(max_examples=150, deadline=None)
@given(sizes=sizes, places=st.lists(places, min_size=1, max_size=3), clean=st.booleans())
def test_damage_takes_the_damaged_batches_alone(
    sizes: list[tuple[int, int]], places: list[tuple[float, int, int, bool]], clean: bool
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        setup = LogSetup(f"{directory}/t-0")
        log = setup.open()
        for count, size in sizes:
            log.append([make_batch([b"v" * size] * count, times=NOW_MS)], 0)
        log.flush()
        end_offset = log.log_end_offset
        expected = read_around(log)
        log.close()
        files = sorted(Path(setup.directory).glob("*.log"))
        sound = {path: path.read_bytes() for path in files}
        for share, length, value, flips in places:
            _harm_one(files, sound, share, length, value if not flips else None)
        lost = _lost(sound)
        for index in Path(setup.directory).glob("*.index"):
            index.unlink()
        damaged = {path: path.read_bytes() for path in files}
        again = setup.open(clean=clean, recovery_point=end_offset)
        assert again.log_end_offset == end_offset
        assert read_around(again) == {o: r for o, r in expected.items() if o not in lost}
        assert {path: path.read_bytes() for path in files} == damaged
        again.append([make_batch([b"new"])], 0)
        assert read_around(again)[end_offset].value == b"new"
        before = read_around(again)
        again.close()
        last = setup.open(clean=True, recovery_point=end_offset + 1)
        assert read_around(last) == before


def _harm_one(
    files: list[Path], sound: dict[Path, bytes], share: float, length: int, value: int | None
) -> None:
    at = int(share * sum(map(len, sound.values())))
    for path in files:
        if at >= len(sound[path]):
            at -= len(sound[path])
            continue
        content = bytearray(path.read_bytes())
        for start, header in walk(sound[path]):
            for position in range(start, start + header.size_bytes):
                within = position - start
                checked = LENGTH_AT <= within < EPOCH_AT or within >= MAGIC_AT
                if at <= position < at + length and checked:
                    content[position] = content[position] ^ 1 if value is None else value
        path.write_bytes(content)
        return


def _lost(sound: dict[Path, bytes]) -> set[int]:
    """The offsets of the batches that are not what they were."""
    lost: set[int] = set()
    for path, before in sound.items():
        after = path.read_bytes()
        for start, header in walk(before):
            end = start + header.size_bytes
            if before[start:end] != after[start:end]:
                lost.update(range(header.base_offset, header.next_offset))
    return lost
