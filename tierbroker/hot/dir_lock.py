"""One process owns a log directory (D-15): the lock file that Apache Kafka takes too.

Java's FileLock and `fcntl.lockf` are the same POSIX record lock, so a JVM's Kafka and this broker
shut each other out. Such a lock belongs to the process and is dropped when the process closes *any*
descriptor of the file: this module opens it once and remembers what the process holds, and must
never open a lock file that is already held.
"""

import errno
import fcntl
import os
import struct
import threading

from tierbroker.base.errors import DataDirError
from tierbroker.base.fs import FileSystem

LOCK_FILE = ".lock"

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""

_held: set[tuple[int, int]] = set()
"""(device, inode) of the lock files this process holds. Process-wide because the lock is."""
_held_guard = threading.Lock()


class DirLock:
    """The lock of one log directory, held until `release`."""

    def __init__(self, fs: FileSystem, directory: str) -> None:
        """Take the lock, without waiting.

        Raises DataDirError naming the holder if another process, or another broker of this
        process, has it, or if the directory cannot be written to.
        """
        self._fs = fs
        self._path = os.path.join(directory, LOCK_FILE)
        with _held_guard:
            self._refuse_if_held_here(directory)
            try:
                self._fd = fs.open(self._path, os.O_RDWR | os.O_CREAT)
            except OSError as error:
                raise DataDirError(
                    f"Cannot open the lock file {self._path}: {error.strerror}. "
                    f"Give the user that runs the broker write access to {directory}, "
                    f"or choose another one with log.dirs."
                ) from error
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = _holder(self._fd)
                fs.close(self._fd)
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise DataDirError(
                        f"Cannot lock {self._path}: {error.strerror}. The file system must "
                        f"support POSIX locks; choose a local directory with log.dirs."
                    ) from error
                raise _in_use(directory, holder) from None
            stat = os.fstat(self._fd)
            self._identity: tuple[int, int] | None = (stat.st_dev, stat.st_ino)
            _held.add(self._identity)

    def release(self) -> None:
        """Give the lock up; does nothing the second time. The file stays, as Kafka leaves it."""
        with _held_guard:
            if self._identity is not None:
                _held.discard(self._identity)
                self._identity = None
                self._fs.close(self._fd)

    def _refuse_if_held_here(self, directory: str) -> None:
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            return
        if (stat.st_dev, stat.st_ino) in _held:
            raise _in_use(directory, os.getpid())


def _in_use(directory: str, pid: int | None) -> DataDirError:
    if pid == os.getpid():
        who = "another broker of this process"
        step = "Stop that one first"
    elif pid is not None:
        who = f"process {pid}{_command_of(pid)}"
        step = f"Stop it (kill {pid})"
    else:
        who = "another process, perhaps in another container or on another host"
        step = f"Find it with: fuser {os.path.join(directory, LOCK_FILE)}"
    return DataDirError(
        f"The log directory {directory} is in use by {who}. Two brokers on one directory would "
        f"destroy it. {step}, or choose another directory with log.dirs "
        f"(`tierbroker dev --data DIR`)."
    )


def _holder(fd: int) -> int | None:
    """The process that holds the lock, if the kernel can name it (not across pid namespaces)."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    except OSError:
        return None
    return pid if kind != fcntl.F_UNLCK and pid > 0 else None


def _command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f" ({file.read().strip()})"
    except OSError:
        return ""
