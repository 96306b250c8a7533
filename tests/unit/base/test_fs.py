"""The operating system's file system behind the port."""

import os
from pathlib import Path

import pytest

from tierbroker.base.fs import (
    OsFileSystem,
    make_directory_durably,
    write_atomically,
    write_fully,
)


@pytest.fixture
def fs() -> OsFileSystem:
    return OsFileSystem()


def test_a_new_file_is_not_executable(fs: OsFileSystem, tmp_path: Path) -> None:
    path = tmp_path / "new"
    fs.close(fs.open(str(path), os.O_WRONLY | os.O_CREAT))
    assert path.stat().st_mode & 0o777 & ~0o644 == 0


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_beside(
    fs: OsFileSystem, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old and longer")
    write_atomically(fs, str(path), b"new")
    assert path.read_bytes() == b"new"
    assert fs.listdir(str(tmp_path)) == ["checkpoint"]


def test_a_short_write_is_continued(fs: OsFileSystem, tmp_path: Path) -> None:
    class ShortWrites(OsFileSystem):
        def pwrite(self, fd: int, data: bytes | bytearray | memoryview, position: int) -> int:
            return os.pwrite(fd, data[:2], position)

    path = tmp_path / "file"
    fd = fs.open(str(path), os.O_RDWR | os.O_CREAT)
    write_fully(ShortWrites(), fd, b"seven b", 0)
    fs.close(fd)
    assert path.read_bytes() == b"seven b"


def test_reserved_blocks_do_not_change_the_size(fs: OsFileSystem, tmp_path: Path) -> None:
    fd = fs.open(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT)
    fs.fallocate_keep_size(fd, 0, 1 << 20)
    assert fs.file_size(fd) == 0
    assert os.fstat(fd).st_blocks * 512 >= 1 << 20
    fs.close(fd)


def test_errors_carry_their_number(fs: OsFileSystem, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        fs.syncfs(-1)
    with pytest.raises(FileNotFoundError):
        fs.fsync_dir(str(tmp_path / "absent"))


def test_without_durability_nothing_is_synced(tmp_path: Path) -> None:
    """Syncing what does not exist would fail, so this shows that nobody tried."""
    forgetful = OsFileSystem(durable=False)
    forgetful.fsync(-1)
    forgetful.fdatasync(-1)
    forgetful.syncfs(-1)
    forgetful.fsync_dir(str(tmp_path / "absent"))


def test_every_new_directory_is_made_durable_in_its_parent(tmp_path: Path) -> None:
    class Recording(OsFileSystem):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[str] = []

        def mkdir(self, path: str) -> None:
            super().mkdir(path)
            self.steps.append(f"made {Path(path).name}")

        def fsync_dir(self, path: str) -> None:
            super().fsync_dir(path)
            self.steps.append(f"synced {Path(path).name}")

    fs = Recording()
    make_directory_durably(fs, str(tmp_path / "one" / "two"))
    assert fs.steps == ["made one", f"synced {tmp_path.name}", "made two", "synced one"]
    make_directory_durably(fs, str(tmp_path / "one" / "two"))
    assert len(fs.steps) == 4
