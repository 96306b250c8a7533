"""What is too large for memory goes into a file; whatever the disk does, nothing of it is lost."""

import errno
import os
from typing import Any

import pytest

from tests.faulty_fs import FaultyFileSystem
from tests.memory_fs import MemoryFileSystem
from tierbroker.base.executor import ManualExecutor
from tierbroker.base.parts import FileSlice, release_parts
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import SectionBody
from tierbroker.cold.spool import Spool
from tierbroker.cold.stores.body import Body
from tierbroker.records.checksum import crc32c

PIECES = [bytes([65 + number]) * 10 for number in range(6)]
WHOLE = b"".join(PIECES)
DIRECTORY = "/data"


class SpoolWorld:
    def __init__(self, memory_bytes: int = 25, kept_bytes: int = 0) -> None:
        self.disk = MemoryFileSystem()
        self.disk.mkdir(DIRECTORY)
        self.fs = FaultyFileSystem(self.disk)
        self.executor = ManualExecutor()
        self.spool = Spool(
            self.fs, self.executor, f"{DIRECTORY}/spool", kept_bytes, memory_bytes=memory_bytes
        )

    def append(self, *pieces: bytes) -> None:
        for piece in pieces:
            appending = tell(self.spool.append(piece))
            self.executor.run_all()
            appending.result()

    def begin_append(self, piece: bytes) -> Pending[None]:
        return tell(self.spool.append(piece))

    def body(self) -> SectionBody:
        """What the spool holds; it is what was appended."""
        body = self.spool.body()
        content = bytes(Body(self.fs, body.parts).read(0, body.size_bytes))
        assert WHOLE.startswith(content)
        assert body.checksum == crc32c(content)
        in_file = any(isinstance(part, FileSlice) for part in body.parts)
        assert body.made_as == (crc64nvme(content) if in_file else None)
        return body

    @property
    def in_file(self) -> int:
        """Bytes that are not in memory."""
        return sum(len(part) for part in self.body().parts if isinstance(part, FileSlice))


def test_a_little_stays_in_memory() -> None:
    world = SpoolWorld()
    world.append(*PIECES[:2])
    assert world.body().parts == PIECES[:2]
    world.spool.release()
    assert world.fs.calls == []


def test_nothing_is_an_empty_body() -> None:
    assert SpoolWorld().spool.body() == SectionBody([], 0, 0)


def test_what_goes_beyond_is_in_a_file_that_has_no_name() -> None:
    world = SpoolWorld()
    world.append(*PIECES)
    body = world.body()
    assert body.size_bytes == len(WHOLE)
    assert world.in_file == 40
    assert world.disk.listdir(DIRECTORY) == []
    assert world.disk.open_files == 1
    release_parts(body.parts)
    world.spool.release()
    world.executor.run_all()
    assert world.disk.open_files == 0


def test_what_an_interrupted_one_left_is_replaced() -> None:
    world = SpoolWorld()
    fd = world.disk.open(f"{DIRECTORY}/spool", os.O_WRONLY | os.O_CREAT)
    world.disk.pwrite(fd, b"old" * 100, 0)
    world.disk.close(fd)
    world.append(*PIECES)
    assert world.body().size_bytes == len(WHOLE)
    assert world.disk.listdir(DIRECTORY) == []


@pytest.mark.parametrize("op", ["open", "unlink", "write"])
def test_without_the_disk_all_stays_in_memory(op: str) -> None:
    world = SpoolWorld()
    world.fs.fail_next(op, errno.EIO)
    world.append(*PIECES)
    assert world.body().size_bytes == len(WHOLE)
    assert world.in_file == 0
    world.executor.run_all()
    assert world.disk.open_files == 0
    world.spool.release()


def test_a_disk_that_takes_no_more_keeps_what_it_has() -> None:
    world = SpoolWorld()
    world.append(*PIECES[:4])
    world.fs.fail_next("write", errno.ENOSPC)
    world.append(*PIECES[4:])
    assert world.body().size_bytes == len(WHOLE)
    assert world.in_file == 20
    world.spool.release()
    world.executor.run_all()
    assert world.disk.open_files == 0


def test_some_of_the_disk_is_left_to_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SpoolWorld(kept_bytes=100)
    free: dict[str, Any] = {DIRECTORY: 120}
    monkeypatch.setattr(FaultyFileSystem, "free_bytes", lambda _, path: free[path])
    world.append(*PIECES[:3])
    free[DIRECTORY] = 109
    world.append(*PIECES[3:])
    assert world.body().size_bytes == len(WHOLE)
    assert world.in_file == 10


def test_the_file_is_not_closed_under_the_worker_that_writes() -> None:
    world = SpoolWorld()
    world.append(*PIECES[:4])
    appending = world.begin_append(PIECES[4])
    appending.cancel()
    world.spool.release()
    world.executor.run_all()
    assert world.disk.open_files == 0


def test_a_file_that_is_opened_too_late_is_closed() -> None:
    world = SpoolWorld()
    world.append(*PIECES[:2])
    appending = world.begin_append(PIECES[2])
    appending.cancel()
    world.spool.release()
    assert world.disk.open_files == 0
    world.executor.run_all()
    assert world.disk.open_files == 0
    assert world.disk.listdir(DIRECTORY) == []
