"""A file system that fails when told to: errors, a full disk, and crashes that lose data.

Wraps a real one. Data counts as durable once `fdatasync`, `fsync` or `syncfs` covered it, a name
once `fsync_dir` did; `crash` takes back what is not. One object is one disk under one process.
"""

import errno
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tierbroker.base.fs import Buffer, FileSystem, OsFileSystem

PAGE_BYTES = 4096


@dataclass(slots=True)
class _File:
    """One inode: what a crash would leave of it."""

    path: str
    size: int
    durable: bytes = b""
    uncut: int = 1 << 62
    """How much of `durable` no truncation has taken away since."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Ranges that no sync reaches any more: the one that should have written them failed."""


@dataclass(slots=True)
class _Failure:
    op: str
    number: int
    times: int
    skip: int
    path_part: str


@dataclass(slots=True)
class FaultyFileSystem:
    """`FileSystem` whose calls can be made to fail; `calls` lists the ops so far by name."""

    inner: FileSystem = field(default_factory=OsFileSystem)
    capacity_bytes: int | None = None
    """Size of the disk; what does not fit is written in part, then refused with ENOSPC."""
    calls: list[str] = field(default_factory=list)
    _failures: list[_Failure] = field(default_factory=list)
    _spoiled: list[tuple[str, int, int]] = field(default_factory=list)
    _files: dict[str, _File] = field(default_factory=dict)
    _names: dict[str, dict[str, _File]] = field(default_factory=dict)
    _fds: dict[int, _File] = field(default_factory=dict)

    # -- what a test does ----------------------------------------------------------------------

    def fail_next(
        self, op: str, number: int, times: int = 1, *, skip: int = 0, path_part: str = ""
    ) -> None:
        """The next `times` calls of `op` (after `skip`, on paths with `path_part`) raise OSError.

        `op` is the method's name; "write" stands for pwrite and pwritev.
        """
        self._failures.append(_Failure(op, number, times, skip, path_part))

    def spoil(self, path: str, start: int, end: int) -> None:
        """Reads of the path's bytes from `start` to `end` raise EIO, until `mend`."""
        self._spoiled.append((path, start, end))

    def mend(self) -> None:
        """What was spoiled can be read again."""
        self._spoiled.clear()

    def clear_failures(self) -> None:
        """Calls succeed again."""
        self._failures.clear()

    @property
    def used_bytes(self) -> int:
        """Bytes in all files made through this file system."""
        return sum(file.size for file in self._files.values())

    def crash(self, rng: random.Random | None = None) -> None:
        """The machine stops: descriptors are gone and so is what was not durable.

        Without `rng` all of it is. With it each lost page and directory is drawn: a file may end
        anywhere after its durable part and have zeroed pages in it.
        """
        for fd in list(self._fds):
            self.inner.close(fd)
        self._fds.clear()
        self._failures.clear()
        contents = {id(file): self._after_crash(file, rng) for file in self._all_files()}
        for directory, durable in list(self._names.items()):
            if not os.path.isdir(directory):
                continue
            kept = durable
            if rng is not None and rng.random() < 0.5:
                kept = self._current_names(directory)
            self._restore_names(directory, kept, contents)

    def kill(self) -> None:
        """The process stops: descriptors are gone, all that was written is still there."""
        for fd in list(self._fds):
            self.inner.close(fd)
        self._fds.clear()
        self._failures.clear()

    # -- the file system -----------------------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o644) -> int:
        self._call("open", path)
        fd = self.inner.open(path, flags, mode)
        if os.path.isdir(path):
            return fd
        file = self._files.get(path)
        if file is None:
            size = self.inner.file_size(fd)
            # What was there before this object is durable.
            existing = self.inner.pread(fd, size, 0) if size and not flags & os.O_WRONLY else b""
            file = self._files[path] = _File(path, size, existing)
            names = self._names_of(path)
            if size:
                names[os.path.basename(path)] = file
        elif flags & os.O_TRUNC:
            file.size = file.uncut = 0
        self._fds[fd] = file
        return fd

    def close(self, fd: int) -> None:
        self.calls.append("close")
        self._fds.pop(fd, None)
        self.inner.close(fd)

    def pread(self, fd: int, nbytes: int, position: int) -> bytes:
        path = self._path(fd)
        self._call("pread", path)
        for spoiled, start, end in self._spoiled:
            if spoiled == path and start < position + nbytes and position < end:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self.inner.pread(fd, nbytes, position)

    def pwrite(self, fd: int, data: Buffer, position: int) -> int:
        return self._write("pwrite", fd, bytes(data), position)

    def pwritev(self, fd: int, buffers: Sequence[Buffer], position: int) -> int:
        return self._write("pwritev", fd, b"".join(buffers), position)

    def _write(self, op: str, fd: int, data: bytes, position: int) -> int:
        file = self._fds[fd]
        self._call(op, file.path)
        if self.capacity_bytes is not None:
            room = self.capacity_bytes - self.used_bytes
            growth = position + len(data) - file.size
            if growth > room:
                data = data[: max(len(data) - (growth - room), 0)]
                if not data:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.inner.pwrite(fd, data, position)
        file.size = max(file.size, position + written)
        return written

    def ftruncate(self, fd: int, size: int) -> None:
        self._call("ftruncate", self._path(fd))
        self.inner.ftruncate(fd, size)
        file = self._fds[fd]
        file.size = size
        file.uncut = min(file.uncut, size)

    def fdatasync(self, fd: int) -> None:
        self._call("fdatasync", self._path(fd))
        self._sync(self._fds[fd])

    def fsync(self, fd: int) -> None:
        self._call("fsync", self._path(fd))
        self._sync(self._fds[fd])

    def syncfs(self, fd: int) -> None:
        self._call("syncfs", self._path(fd))
        for file in self._files.values():
            self._sync(file)
        for directory in self._names:
            self._names[directory] = self._current_names(directory)

    def fallocate_keep_size(self, fd: int, position: int, length: int) -> None:
        self._call("fallocate_keep_size", self._path(fd))
        self.inner.fallocate_keep_size(fd, position, length)

    def file_size(self, fd: int) -> int:
        return self.inner.file_size(fd)

    def rename(self, source: str, target: str) -> None:
        self._call("rename", source)
        for path in (source, target):
            self._names_of(path)
        self.inner.rename(source, target)
        if source in self._files:
            self._files[target] = self._files.pop(source)
            self._files[target].path = target
        prefix = source + "/"
        for path in [p for p in self._files if p.startswith(prefix)]:
            moved = self._files.pop(path)
            moved.path = target + path[len(source) :]
            self._files[moved.path] = moved
        if source in self._names:
            self._names[target] = self._names.pop(source)

    def unlink(self, path: str) -> None:
        self._call("unlink", path)
        self._names_of(path)
        self.inner.unlink(path)
        self._files.pop(path, None)

    def mkdir(self, path: str) -> None:
        self._call("mkdir", path)
        self.inner.mkdir(path)

    def rmtree(self, path: str) -> None:
        self._call("rmtree", path)
        self.inner.rmtree(path)
        for name in [p for p in self._files if p.startswith(path + "/")]:
            del self._files[name]
        self._names.pop(path, None)

    def listdir(self, path: str) -> list[str]:
        self._call("listdir", path)
        return self.inner.listdir(path)

    def exists(self, path: str) -> bool:
        return self.inner.exists(path)

    def stat_size(self, path: str) -> int:
        return self.inner.stat_size(path)

    def mtime_ms(self, path: str) -> int:
        return self.inner.mtime_ms(path)

    def set_mtime_ms(self, path: str, time_ms: int) -> None:
        self._call("set_mtime_ms", path)
        self.inner.set_mtime_ms(path, time_ms)

    def read_file(self, path: str) -> bytes:
        self._call("read_file", path)
        return self.inner.read_file(path)

    def fsync_dir(self, path: str) -> None:
        self._call("fsync_dir", path)
        self._names[path] = self._current_names(path)

    def free_bytes(self, path: str) -> int:
        if self.capacity_bytes is None:
            return self.inner.free_bytes(path)
        return max(self.capacity_bytes - self.used_bytes, 0)

    def total_bytes(self, path: str) -> int:
        if self.capacity_bytes is None:
            return self.inner.total_bytes(path)
        return self.capacity_bytes

    # -- bookkeeping ---------------------------------------------------------------------------

    def _path(self, fd: int) -> str:
        file = self._fds.get(fd)
        return file.path if file else ""

    def _call(self, op: str, path: str) -> None:
        self.calls.append(op)
        for failure in self._failures:
            same = failure.op == op or (failure.op == "write" and op in ("pwrite", "pwritev"))
            if not same or failure.path_part not in path:
                continue
            if failure.skip:
                failure.skip -= 1
                continue
            failure.times -= 1
            if not failure.times:
                self._failures.remove(failure)
            raise OSError(failure.number, os.strerror(failure.number), path)

    def _sync(self, file: _File) -> None:
        if self.inner.exists(file.path):
            content = self.inner.read_file(file.path)
            for start, end in file.lost:
                gone = content[start:end]
                content = (
                    content[:start]
                    + file.durable[start:end].ljust(len(gone), b"\0")
                    + content[end:]
                )
            file.durable = content
            file.uncut = 1 << 62

    def _names_of(self, path: str) -> dict[str, _File]:
        """The durable names of the file's directory, noted before they first change."""
        directory = os.path.dirname(path)
        if directory not in self._names:
            self._names[directory] = {}
        return self._names[directory]

    def _current_names(self, directory: str) -> dict[str, _File]:
        return {
            os.path.basename(path): file
            for path, file in self._files.items()
            if os.path.dirname(path) == directory
        }

    def _all_files(self) -> list[_File]:
        durable = [file for names in self._names.values() for file in names.values()]
        return [*self._files.values(), *durable]

    def _after_crash(self, file: _File, rng: random.Random | None) -> bytes:
        if rng is None or self._files.get(file.path) is not file or rng.random() < 0.2:
            return file.durable
        current = self.inner.read_file(file.path)
        old = file.durable[: file.uncut]
        if len(current) <= len(old):
            return rng.choice((current, old))
        size = rng.choice((len(old), len(current), rng.randint(len(old), len(current))))
        result = bytearray(size)
        for start in range(0, size, PAGE_BYTES):
            source = current if rng.random() < 0.5 else old
            page = source[start : min(start + PAGE_BYTES, size)]
            result[start : start + len(page)] = page
        return bytes(result)

    def _restore_names(
        self, directory: str, names: dict[str, _File], contents: dict[int, bytes]
    ) -> None:
        for path in [p for p in self._files if os.path.dirname(p) == directory]:
            if self.inner.exists(path):
                self.inner.unlink(path)
            del self._files[path]
        for name, file in names.items():
            path = f"{directory}/{name}"
            content = contents[id(file)]
            fd = self.inner.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if content:
                self.inner.pwrite(fd, content, 0)
            self.inner.close(fd)
            self._files[path] = _File(path, len(content), content)
        self._names[directory] = dict(self._current_names(directory))
