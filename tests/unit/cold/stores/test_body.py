import errno
import os
from pathlib import Path

import pytest

from tests.faulty_fs import FaultyFileSystem
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.parts import FileSlice
from tierbroker.cold.errors import BodyUnreadableError
from tierbroker.cold.stores.body import PIECE_BYTES, Body, BodyWithdrawnError


class NoLease:
    def release(self) -> None:
        raise AssertionError("the caller releases")


@pytest.fixture
def fd(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(bytes(range(100)))
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def body(fd: int) -> Body:
    part = FileSlice(fd, 10, 20, NoLease())
    return Body(OsFileSystem(), [b"abc", part, bytearray(b"def"), memoryview(b"gh")])


def test_any_range_is_read_in_order(fd: int) -> None:
    content = b"abc" + bytes(range(10, 30)) + b"defgh"
    source = body(fd)
    assert source.size_bytes == len(content)
    for start in range(len(content)):
        for end in range(start, len(content) + 1):
            assert bytes(source.read(start, end - start)) == content[start:end]


def test_pieces_are_bounded(fd: int) -> None:
    pieces = [bytes(piece) for piece in body(fd).pieces(piece_bytes=8)]
    assert b"".join(pieces) == b"abc" + bytes(range(10, 30)) + b"defgh"
    assert max(map(len, pieces)) == 8


def test_a_part_in_memory_is_not_copied() -> None:
    data = b"x" * 1000
    assert Body(OsFileSystem(), [data]).read(0, 1000) is data


def test_what_lies_in_several_parts_is_never_there_twice(tmp_path: Path) -> None:
    """A segment and its tail: the file is read a piece at a time into the one that is sent."""
    content = os.urandom(3 * PIECE_BYTES + 5)
    path = tmp_path / "log"
    path.write_bytes(content)
    fs = FaultyFileSystem()
    fd = fs.open(str(path), os.O_RDONLY)
    source = Body(fs, [FileSlice(fd, 0, len(content), NoLease()), b"tail"])
    assert source.read(0, source.size_bytes) == content + b"tail"
    assert fs.calls.count("pread") == 4
    # Nothing else goes with it here: one read is enough.
    fs.calls.clear()
    assert source.read(5, 2 * PIECE_BYTES) == content[5 : 5 + 2 * PIECE_BYTES]
    assert fs.calls.count("pread") == 1
    fs.close(fd)


def test_a_read_that_fails_names_the_part(tmp_path: Path) -> None:
    fs = FaultyFileSystem()
    path = str(tmp_path / "log")
    fd = fs.open(path, os.O_RDWR | os.O_CREAT)
    fs.pwrite(fd, b"x" * 100, 0)
    fs.fail_next("pread", errno.EIO)
    source = Body(fs, [FileSlice(fd, 0, 100, NoLease())])
    with pytest.raises(BodyUnreadableError, match=r"FileSlice.*Input/output error"):
        source.read(0, 100)
    fs.close(fd)


def test_withdrawn_before_a_read(fd: int) -> None:
    source = body(fd)
    source.withdraw()
    with pytest.raises(BodyWithdrawnError):
        source.read(0, 1)


def test_withdrawn_during_a_read_nothing_that_was_read_is_used(fd: int) -> None:
    class Withdrawing(OsFileSystem):
        def pread(self, fd: int, nbytes: int, position: int) -> bytes:  # type: ignore[override]
            source.withdraw()
            return b"of another file".ljust(nbytes)

    source = Body(Withdrawing(), [FileSlice(fd, 0, 100, NoLease())])
    with pytest.raises(BodyWithdrawnError):
        source.read(0, 100)
