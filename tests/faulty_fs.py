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
SECTOR_BYTES = 512
"""What a disk writes in one go; the sectors of a page are written in order."""


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
    _files: dict[str, dict[str, _File]] = field(default_factory=dict)
    """By directory and name, as the process sees them."""
    _names: dict[str, dict[str, _File]] = field(default_factory=dict)
    """By directory and name, as a crash leaves them."""
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
        return sum(file.size for names in self._files.values() for file in names.values())

    def crash(self, rng: random.Random | None = None) -> None:
        """The machine stops: descriptors are gone and so is what was not durable.

        Without `rng` all of it is. With it each lost page and directory is drawn: a file may end
        anywhere after its durable part, have zeroed pages in it, and a last page of which only
        the first sectors were written.
        """
        for fd in list(self._fds):
            self.inner.close(fd)
        self._fds.clear()
        self._failures.clear()
        contents = {id(file): self._after_crash(file, rng) for file in self._all_files()}
        for directory, durable in list(self._names.items()):
            current = self._current_names(directory)
            # Not even a draw for what holds no files: a seed must not depend on the path's depth.
            if not self._is_directory(directory) or not (durable or current):
                continue
            kept = durable
            if rng is not None and rng.random() < 0.5:
                kept = current
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
        directory, _, name = path.rpartition("/")
        files = self._files.get(directory)
        file = files.get(name) if files else None
        if file is None and self._is_directory(path):
            return fd
        if file is None:
            size = self.inner.file_size(fd)
            # What was there before this object is durable.
            existing = self.inner.pread(fd, size, 0) if size and not flags & os.O_WRONLY else b""
            file = _File(path, size, existing)
            self._files.setdefault(directory, {})[name] = file
            names = self._names.setdefault(directory, {})
            if size:
                names[name] = file
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
        for files in self._files.values():
            for file in files.values():
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
        from_directory, _, name = source.rpartition("/")
        to_directory, _, to_name = target.rpartition("/")
        for directory in (from_directory, to_directory):
            self._names.setdefault(directory, {})
        self.inner.rename(source, target)
        moved = self._files.get(from_directory, {}).pop(name, None)
        if moved is not None:
            moved.path = target
            self._files.setdefault(to_directory, {})[to_name] = moved
            return
        for held in (self._files, self._names):
            for path in [p for p in held if _is_within(p, source)]:
                held[target + path[len(source) :]] = held.pop(path)
        for path, files in self._files.items():
            if _is_within(path, target):
                for name, file in files.items():
                    file.path = f"{path}/{name}"

    def unlink(self, path: str) -> None:
        self._call("unlink", path)
        directory, _, name = path.rpartition("/")
        self._names.setdefault(directory, {})
        self.inner.unlink(path)
        self._files.get(directory, {}).pop(name, None)

    def mkdir(self, path: str) -> None:
        self._call("mkdir", path)
        self.inner.mkdir(path)

    def rmtree(self, path: str) -> None:
        self._call("rmtree", path)
        self.inner.rmtree(path)
        for held in (self._files, self._names):
            for gone in [p for p in held if _is_within(p, path)]:
                del held[gone]

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

    def _is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def _current_names(self, directory: str) -> dict[str, _File]:
        return dict(self._files.get(directory, {}))

    def _all_files(self) -> list[_File]:
        """Each once, in an order that does not depend on the machine."""
        seen = {
            id(file): file
            for names in (*self._files.values(), *self._names.values())
            for file in names.values()
        }
        return list(seen.values())

    def _after_crash(self, file: _File, rng: random.Random | None) -> bytes:
        if rng is None or not self._is_there(file) or rng.random() < 0.2:
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
        last_page = size - size % PAGE_BYTES
        if size > last_page + SECTOR_BYTES and rng.random() < 0.5:
            torn_at = rng.randrange(last_page + SECTOR_BYTES, size, SECTOR_BYTES)
            result[last_page:torn_at] = current[last_page:torn_at]
            result[torn_at:] = old[torn_at:size].ljust(size - torn_at, b"\0")
        return bytes(result)

    def _is_there(self, file: _File) -> bool:
        directory, _, name = file.path.rpartition("/")
        return self._files.get(directory, {}).get(name) is file

    def _restore_names(
        self, directory: str, names: dict[str, _File], contents: dict[int, bytes]
    ) -> None:
        for name in self._files.pop(directory, ()):
            path = f"{directory}/{name}"
            if self.inner.exists(path):
                self.inner.unlink(path)
        restored: dict[str, _File] = {}
        for name, file in names.items():
            path = f"{directory}/{name}"
            content = contents[id(file)]
            fd = self.inner.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if content:
                self.inner.pwrite(fd, content, 0)
            self.inner.close(fd)
            restored[name] = _File(path, len(content), content)
        self._files[directory] = restored
        self._names[directory] = dict(restored)


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")
