"""A file system that is a dictionary: for tests that make and lose thousands of small files.

Holds what the calls of one process need, no more: no permissions, no links, no clock. Only a lock
file is a real one as well, as the kernel alone can lock.
"""

import errno
import os
from collections.abc import Sequence

from tierbroker.base.fs import Buffer, OsFileSystem
from tierbroker.hot.dir_lock import LOCK_FILE

FIRST_FD = 1 << 20
"""Above what the kernel gives out, so that a descriptor used at the wrong place is refused."""


class _Inode:
    """A file, or a directory opened to be synced."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()


class MemoryFileSystem:
    """`FileSystem` without a disk; knows no directory but those that were made through it."""

    def __init__(self) -> None:
        self._real = OsFileSystem(durable=False)
        self._directories: dict[str, dict[str, _Inode]] = {"": {}, "/": {}}
        self._parents: dict[str, set[str]] = {}
        """The names of directories in each directory."""
        self._fds: dict[int, _Inode] = {}
        self._next_fd = FIRST_FD

    @property
    def open_files(self) -> int:
        """Descriptors that nobody has closed."""
        return len(self._fds)

    def is_directory(self, path: str) -> bool:
        return path in self._directories

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        directory, _, name = path.rpartition("/")
        if name == LOCK_FILE:
            self._directories[directory].setdefault(name, _Inode())
            self._real.mkdir(directory)
            return self._real.open(path, flags, mode)
        files = self._directories.get(directory, {})
        inode = files.get(name)
        if inode is None:
            if path in self._directories:
                inode = _Inode()
            elif flags & os.O_CREAT and directory in self._directories:
                inode = files[name] = _Inode()
            else:
                raise _missing(path)
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST, path)
        if flags & os.O_TRUNC:
            inode.data.clear()
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self._fds[fd] = inode
        return fd

    def close(self, fd: int) -> None:
        if fd < FIRST_FD:
            self._real.close(fd)
        else:
            del self._fds[fd]

    def pread(self, fd: int, nbytes: int, position: int) -> bytes:
        return bytes(self._fds[fd].data[position : position + nbytes])

    def pwrite(self, fd: int, data: Buffer, position: int) -> int:
        content = self._fds[fd].data
        if position > len(content):
            content.extend(bytes(position - len(content)))
        content[position : position + len(data)] = data
        return len(data)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], position: int) -> int:
        return self.pwrite(fd, b"".join(buffers), position)

    def ftruncate(self, fd: int, size: int) -> None:
        content = self._fds[fd].data
        if size > len(content):
            content.extend(bytes(size - len(content)))
        else:
            del content[size:]

    def fdatasync(self, fd: int) -> None:
        """Nothing here outlives the process."""

    fsync = syncfs = fdatasync

    def fsync_dir(self, path: str) -> None:
        if path not in self._directories:
            raise _missing(path)

    def fallocate_keep_size(self, fd: int, position: int, length: int) -> None:
        """There are no blocks."""

    def file_size(self, fd: int) -> int:
        return len(self._fds[fd].data) if fd >= FIRST_FD else 0

    def rename(self, source: str, target: str) -> None:
        if source in self._directories:
            self._rename_directory(source, target)
            return
        directory, _, name = source.rpartition("/")
        inode = self._file(source)
        to_directory, _, to_name = target.rpartition("/")
        if to_directory not in self._directories:
            raise _missing(target)
        del self._directories[directory][name]
        self._directories[to_directory][to_name] = inode

    def _rename_directory(self, source: str, target: str) -> None:
        if self._directories.get(target):
            raise _error(errno.ENOTEMPTY, target)
        self._forget_name(source)
        self._note_name(target)
        for path in [p for p in self._directories if p == source or p.startswith(source + "/")]:
            moved = target + path[len(source) :]
            self._directories[moved] = self._directories.pop(path)
            self._parents[moved] = self._parents.pop(path)

    def unlink(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        self._file(path)
        del self._directories[directory][name]

    def mkdir(self, path: str) -> None:
        while path and path not in self._directories:
            self._directories[path] = {}
            self._parents.setdefault(path, set())
            self._note_name(path)
            path = path.rpartition("/")[0]

    def rmtree(self, path: str) -> None:
        if path not in self._directories:
            raise _missing(path)
        self._forget_name(path)
        for gone in [p for p in self._directories if p == path or p.startswith(path + "/")]:
            del self._directories[gone], self._parents[gone]

    def listdir(self, path: str) -> list[str]:
        if path not in self._directories:
            raise _missing(path)
        return [*self._directories[path], *sorted(self._parents[path])]

    def exists(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        return name in self._directories.get(directory, ()) or path in self._directories

    def stat_size(self, path: str) -> int:
        return len(self._file(path).data)

    def mtime_ms(self, path: str) -> int:
        self._file(path)
        return 0

    def set_mtime_ms(self, path: str, time_ms: int) -> None:
        self._file(path)

    def read_file(self, path: str) -> bytes:
        return bytes(self._file(path).data)

    def free_bytes(self, path: str) -> int:
        return 1 << 40

    def total_bytes(self, path: str) -> int:
        return 1 << 41

    def _file(self, path: str) -> _Inode:
        directory, _, name = path.rpartition("/")
        inode = self._directories.get(directory, {}).get(name)
        if inode is None:
            raise _error(errno.EISDIR, path) if path in self._directories else _missing(path)
        return inode

    def _note_name(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        self._parents.setdefault(directory, set()).add(name)

    def _forget_name(self, path: str) -> None:
        directory, _, name = path.rpartition("/")
        self._parents[directory].discard(name)


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
