"""The ways to carry out a flush: file by file, by file system, or whichever is cheaper (D-6).

A strategy runs on a worker thread and knows only descriptors and directories. It must never repeat
a flush that failed: the kernel may have dropped the pages, and would then report success for data
that is gone.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tierbroker.base.clock import Clock
from tierbroker.base.fs import FileSystem
from tierbroker.hot.disk_errors import hits_process_limit
from tierbroker.hot.flush import FlushStrategy, FlushTarget

DEFAULT_CROSSOVER_FILES = 3
"""Dirty files from which one syncfs is cheaper than a flush of each, until it has been measured
where the broker runs (`bench/flush_strategies.py`)."""
_MIN_FILES_FOR_SYNCFS = 2
_NEW_SAMPLE_WEIGHT = 0.2
_FADE = 0.998


class PerFileFlush:
    """One fdatasync per dirty file, in turn or on a few threads."""

    def __init__(self, fs: FileSystem, threads: int = 1) -> None:
        assert threads >= 1
        self._fs = fs
        self._pool = ThreadPoolExecutor(threads, "flush") if threads > 1 else None

    def flush(self, targets: Sequence[FlushTarget]) -> None:
        """Sync the new directories, then each file."""
        fs = self._fs
        fds = [fd for target in targets for fd in target.fds]
        try:
            self._sync_directories(targets)
        except OSError as error:
            if not (hits_process_limit(error) and fds):
                raise
            # No descriptor is left to open a directory with: syncfs needs none of its own.
            for fd in {os.fstat(fd).st_dev: fd for fd in fds}.values():
                fs.syncfs(fd)
        if self._pool is None or len(fds) < 2:
            for fd in fds:
                fs.fdatasync(fd)
        else:
            # All of them are waited for, so that no descriptor is in use after this returns.
            waiting = [self._pool.submit(fs.fdatasync, fd) for fd in fds]
            errors = [fault for done in waiting if (fault := done.exception()) is not None]
            if errors:
                raise errors[0]

    def _sync_directories(self, targets: Sequence[FlushTarget]) -> None:
        log_dirs = log_dirs_of(targets)
        for path in _new_dirs(targets):
            try:
                self._fs.fsync_dir(path)
            except FileNotFoundError:
                # A partition that was deleted (renamed) meanwhile needs no durable names; a log
                # directory that is gone is a lost disk.
                if path in log_dirs or not self._fs.exists(os.path.dirname(path)):
                    raise

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


class SyncfsFlush:
    """One syncfs per file system that has dirty files; it covers their directories too.

    The call goes through a descriptor opened before any data is written and kept open: the kernel
    reports a failed write-back to a descriptor only if it is older than the failure.
    """

    def __init__(self, fs: FileSystem, directories: Sequence[str]) -> None:
        self._fs = fs
        self._fd_of_device: dict[int, int] = {}
        self._device_of_directory: dict[str, int] = {}
        for path in directories:
            fd = fs.open(path, os.O_RDONLY | os.O_DIRECTORY)
            device = os.fstat(fd).st_dev
            self._device_of_directory[path] = device
            if self._fd_of_device.setdefault(device, fd) != fd:
                fs.close(fd)

    def flush(self, targets: Sequence[FlushTarget]) -> None:
        """Sync every file system that a target touches.

        Raises ValueError for a file that lies on none of the directories' file systems.
        """
        devices = {os.fstat(fd).st_dev for target in targets for fd in target.fds}
        devices |= {self._device_of_directory[path] for path in log_dirs_of(targets)}
        unknown = devices - self._fd_of_device.keys()
        if unknown:
            raise ValueError(f"no log directory lies on device {min(unknown)}")
        for device in devices:
            self._fs.syncfs(self._fd_of_device[device])

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self._fd_of_device.values():
            self._fs.close(fd)
        self._fd_of_device.clear()


class AdaptiveFlush:
    """Whatever is cheaper for the number of dirty files: per file, or one syncfs.

    Cost model: per file it is proportional to the files, syncfs costs the same for any number. Both
    are measured while running. The estimate of the way not taken fades a little with every flush,
    so one slow syncfs (somebody else's dirty data) does not rule it out for ever.
    """

    def __init__(self, fs: FileSystem, directories: Sequence[str], clock: Clock) -> None:
        self._per_file = PerFileFlush(fs)
        self._syncfs = SyncfsFlush(fs, directories)
        self._monotonic: Callable[[], float] = clock.monotonic
        self._file_seconds = 0.0
        self._syncfs_seconds = 0.0

    @property
    def crossover_files(self) -> float:
        """Dirty files from which syncfs is taken."""
        if self._file_seconds == 0.0 or self._syncfs_seconds == 0.0:
            return DEFAULT_CROSSOVER_FILES
        return max(_MIN_FILES_FOR_SYNCFS, self._syncfs_seconds / self._file_seconds)

    def flush(self, targets: Sequence[FlushTarget]) -> None:
        """Flush by the way that is expected to take less time."""
        syncs = sum(len(target.fds) for target in targets) + len(_new_dirs(targets))
        by_syncfs = syncs >= self.crossover_files
        started = self._monotonic()
        (self._syncfs if by_syncfs else self._per_file).flush(targets)
        elapsed = self._monotonic() - started
        if by_syncfs:
            self._syncfs_seconds = _smoothed(self._syncfs_seconds, elapsed)
            self._file_seconds *= _FADE
        elif syncs:
            self._file_seconds = _smoothed(self._file_seconds, elapsed / syncs)
            self._syncfs_seconds *= _FADE

    def close(self) -> None:
        """Let go of the descriptors."""
        self._per_file.close()
        self._syncfs.close()


def make_strategy(
    name: str, fs: FileSystem, directories: Sequence[str], clock: Clock
) -> FlushStrategy:
    """The strategy of `log.flush.strategy`: auto, file or syncfs."""
    if name == "file":
        return PerFileFlush(fs)
    if name == "syncfs":
        return SyncfsFlush(fs, directories)
    assert name == "auto", name
    return AdaptiveFlush(fs, directories, clock)


def log_dirs_of(targets: Sequence[FlushTarget]) -> set[str]:
    """The log directories that hold the targets' logs."""
    return {os.path.dirname(target.log.dir) for target in targets}


def _new_dirs(targets: Sequence[FlushTarget]) -> list[str]:
    """Every directory once, in the order of first mention."""
    return list(dict.fromkeys(path for target in targets for path in target.new_dirs))


def _smoothed(old: float, sample: float) -> float:
    return sample if old == 0.0 else old + _NEW_SAMPLE_WEIGHT * (sample - old)
