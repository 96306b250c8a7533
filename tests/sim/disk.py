"""The simulated disk: what was not synced may be lost, and what failed to sync is lost for sure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.faulty_fs import FaultyFileSystem
from tests.memory_fs import MemoryFileSystem
from tierbroker.base.clock import Clock, SystemClock


@dataclass(slots=True)
class SimDisk(FaultyFileSystem):
    """A disk whose kernel forgets dirty pages after a failed sync, as Linux does.

    The sync that comes next succeeds then, although the pages never reached the disk.
    """

    clock: Clock = field(default_factory=SystemClock)
    _changed_ms: dict[str, int] = field(default_factory=dict)
    _memory: MemoryFileSystem = field(init=False)

    def __post_init__(self) -> None:
        # What is durable is only noted, so nothing here needs a real disk.
        self.inner = self._memory = MemoryFileSystem()

    def _is_directory(self, path: str) -> bool:
        return self._memory.is_directory(path)

    def _write(self, op: str, fd: int, data: bytes, position: int) -> int:
        self._changed_ms[self._path(fd)] = self.clock.now_ms()
        return FaultyFileSystem._write(self, op, fd, data, position)

    def mtime_ms(self, path: str) -> int:
        return self._changed_ms.get(path, 0)

    def set_mtime_ms(self, path: str, time_ms: int) -> None:
        self._changed_ms[path] = time_ms

    def fdatasync(self, fd: int) -> None:
        self._sync_or_forget(fd, partial(FaultyFileSystem.fdatasync, self))

    def fsync(self, fd: int) -> None:
        self._sync_or_forget(fd, partial(FaultyFileSystem.fsync, self))

    def _sync_or_forget(self, fd: int, sync: Callable[[int], None]) -> None:
        try:
            sync(fd)
        except OSError:
            file = self._fds[fd]
            file.lost.append((len(file.durable), file.size))
            raise

    def rot(self, path: str, position: int) -> None:
        """One byte of what is durable turns into another."""
        fd = self.open(path, 2)
        try:
            byte = self.inner.pread(fd, 1, position)
            self.inner.pwrite(fd, bytes([byte[0] ^ 0x55]), position)
            self._sync(self._fds[fd])
        finally:
            self.close(fd)
