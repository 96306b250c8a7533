"""The file system as a port.

Everything that `hot` and the metadata log do to a disk goes through a `FileSystem`, so that tests
can keep unsynced data apart, fail a call, or fill the disk. The production twin hands calls
straight to the operating system.
"""

import ctypes
import os
import shutil
from collections.abc import Callable, Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview

FALLOC_FL_KEEP_SIZE = 1


class FileSystem(Protocol):
    """Disk effects. Every method raises OSError as the system call behind it does."""

    def open(self, path: str, flags: int, mode: int = 0o644) -> int: ...
    def close(self, fd: int) -> None: ...
    def pread(self, fd: int, nbytes: int, position: int) -> bytes: ...
    def pwrite(self, fd: int, data: Buffer, position: int) -> int: ...
    def pwritev(self, fd: int, buffers: Sequence[Buffer], position: int) -> int:
        """Write the buffers one after the other; may write less than all of them."""

    def ftruncate(self, fd: int, size: int) -> None: ...
    def fdatasync(self, fd: int) -> None: ...
    def fsync(self, fd: int) -> None: ...
    def syncfs(self, fd: int) -> None:
        """Make all of the file system that holds `fd` durable (syncfs(2))."""

    def fallocate_keep_size(self, fd: int, position: int, length: int) -> None:
        """Reserve blocks beyond the end of the file without changing its size."""

    def file_size(self, fd: int) -> int: ...
    def rename(self, source: str, target: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def mkdir(self, path: str) -> None:
        """Make the directory and its parents; it may exist already."""

    def rmtree(self, path: str) -> None: ...
    def listdir(self, path: str) -> list[str]: ...
    def exists(self, path: str) -> bool: ...
    def stat_size(self, path: str) -> int: ...
    def mtime_ms(self, path: str) -> int: ...
    def set_mtime_ms(self, path: str, time_ms: int) -> None: ...
    def read_file(self, path: str) -> bytes: ...
    def fsync_dir(self, path: str) -> None:
        """Make the names in the directory durable."""

    def free_bytes(self, path: str) -> int:
        """Bytes that this process may still write on the file system of `path`."""

    def total_bytes(self, path: str) -> int:
        """Size of the file system of `path`."""


class OsFileSystem:
    """The real thing. Hot calls are the os functions themselves: no Python frame in between."""

    close = staticmethod(os.close)
    pread = staticmethod(os.pread)
    pwrite = staticmethod(os.pwrite)
    pwritev = staticmethod(os.pwritev)
    ftruncate = staticmethod(os.ftruncate)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    listdir = staticmethod(os.listdir)
    exists = staticmethod(os.path.exists)
    stat_size = staticmethod(os.path.getsize)

    def __init__(self, *, durable: bool = True) -> None:
        """Without `durable` nothing is ever synced: for brokers that keep nothing."""
        self._durable = durable
        self.fdatasync: Callable[[int], None] = os.fdatasync if durable else _skip
        self.fsync: Callable[[int], None] = os.fsync if durable else _skip
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.fallocate.argtypes = (
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int64,
            ctypes.c_int64,
        )

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        """Open a file; a new one can be written by its owner alone. os.open would say 0o777."""
        return os.open(path, flags, mode)

    def syncfs(self, fd: int) -> None:
        """Make all of the file system that holds `fd` durable; the GIL is released meanwhile."""
        if self._durable and self._libc.syncfs(fd) != 0:
            _raise_errno()

    def fallocate_keep_size(self, fd: int, position: int, length: int) -> None:
        """Reserve blocks beyond the end of the file without changing its size."""
        if self._libc.fallocate(fd, FALLOC_FL_KEEP_SIZE, position, length) != 0:
            _raise_errno()

    def file_size(self, fd: int) -> int:
        """Size of the open file in bytes."""
        return os.fstat(fd).st_size

    def mkdir(self, path: str) -> None:
        """Make the directory and its parents; it may exist already."""
        os.makedirs(path, exist_ok=True)

    def rmtree(self, path: str) -> None:
        """Remove the directory with all that is in it."""
        shutil.rmtree(path)

    def mtime_ms(self, path: str) -> int:
        """Last change of the file's content, milliseconds since 1970."""
        return os.stat(path).st_mtime_ns // 1_000_000

    def set_mtime_ms(self, path: str, time_ms: int) -> None:
        """Say when the file's content was last changed, milliseconds since 1970."""
        os.utime(path, ns=(time_ms * 1_000_000, time_ms * 1_000_000))

    def read_file(self, path: str) -> bytes:
        """The whole content of a (small) file."""
        with open(path, "rb") as file:
            return file.read()

    def fsync_dir(self, path: str) -> None:
        """Make the names in the directory durable."""
        if not self._durable:
            return
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: str) -> int:
        """Bytes that an unprivileged process may still write there."""
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize

    def total_bytes(self, path: str) -> int:
        """Size of the file system there, with what is reserved for root."""
        stat = os.statvfs(path)
        return stat.f_blocks * stat.f_frsize


def _skip(fd: int) -> None:
    """In place of a sync that nobody wants."""


def _raise_errno() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def write_fully(fs: FileSystem, fd: int, data: Buffer, position: int) -> None:
    """Write all of `data` at `position`; raises OSError when the file system will not take it."""
    view = memoryview(data)
    while view:
        written = fs.pwrite(fd, view, position)
        view = view[written:]
        position += written


def make_directory_durably(fs: FileSystem, path: str) -> None:
    """Make the directory and its parents so that a power cut takes none of them away again."""
    missing: list[str] = []
    while not fs.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for made in reversed(missing):
        fs.mkdir(made)
        fs.fsync_dir(os.path.dirname(made))


def write_atomically(fs: FileSystem, path: str, data: bytes) -> None:
    """Replace the file so that a crash leaves the old or the new content, never a mixture."""
    temporary = path + ".tmp"
    fd = fs.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_fully(fs, fd, data, 0)
        fs.fsync(fd)
    finally:
        fs.close(fd)
    fs.rename(temporary, path)
    fs.fsync_dir(os.path.dirname(path))
