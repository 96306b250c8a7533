"""Reading around bytes that the disk does not give back."""

import errno
import os
import random
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.hot import unreadable
from tierbroker.hot.unreadable import PAGE_BYTES, ReadingAround


class Spoiled:
    """A file with bad bytes."""

    def __init__(self, path: Path, pages: int, bad: list[tuple[int, int]]) -> None:
        self.content = random.Random(1).randbytes(pages * PAGE_BYTES - 100)
        path.write_bytes(self.content)
        self.fs = FaultyFileSystem()
        self.fd = self.fs.open(str(path), os.O_RDONLY)
        for start, end in bad:
            self.fs.spoil(str(path), start, end)
        self.reading = ReadingAround(self.fs, self.fd)


def test_everything_but_the_bad_pages_is_as_it_was(tmp_path: Path) -> None:
    disk = Spoiled(tmp_path / "f", 40, [(5000, 5001), (4096 * 20, 4096 * 22 + 1)])
    size = len(disk.content)
    data = disk.reading.pread(disk.fd, 1 << 20, 0)
    assert len(data) == size
    bad = [(4096, 8192), (4096 * 20, 4096 * 23)]
    assert disk.reading.ranges(0, size) == bad
    for start, end in bad:
        assert data[start:end] != disk.content[start:end]
        data = data[:start] + disk.content[start:end] + data[end:]
    assert data == disk.content
    assert disk.reading.ranges(5000, 6000) == [(5000, 6000)]
    assert "bytes 4096 to 94208 cannot be read: Input" in disk.reading.reason(0, size)
    assert disk.reading.reason(8192, 4096 * 20) == ""


def test_what_is_known_is_not_tried_again(tmp_path: Path) -> None:
    disk = Spoiled(tmp_path / "f", 8, [(5000, 5001)])
    first = disk.reading.pread(disk.fd, 20_000, 0)
    disk.fs.mend()
    calls = len(disk.fs.calls)
    assert disk.reading.pread(disk.fd, 20_000, 0) == first
    assert len(disk.fs.calls) == calls + 2


def test_a_dead_disk_is_not_tried_page_by_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "MOST_TRIES", 10)
    disk = Spoiled(tmp_path / "f", 400, [(0, 400 * PAGE_BYTES)])
    assert len(disk.reading.pread(disk.fd, 1 << 24, 0)) == len(disk.content)
    assert disk.fs.calls.count("pread") < 40
    assert disk.reading.ranges(0, len(disk.content)) == [(0, len(disk.content))]


def test_other_errors_are_raised(tmp_path: Path) -> None:
    disk = Spoiled(tmp_path / "f", 2, [])
    disk.fs.fail_next("pread", errno.ENXIO)
    with pytest.raises(OSError, match="No such device"):
        disk.reading.pread(disk.fd, 100, 0)
