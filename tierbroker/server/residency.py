"""Is a range of a file in the page cache? A loop must not wait for a disk (D-2).

`cachestat(2)` (Linux 6.5) tells without copying; before it, `preadv2` with RWF_NOWAIT reads what
can be read at once. Neither ever waits for the disk. Must never guess "yes".
"""

import ctypes
import errno
import mmap
import os
import platform
from collections.abc import Callable

Residency = Callable[[int, int, int], bool]
"""(descriptor, position, length in bytes) -> all of it is in memory."""

PAGE_BYTES = mmap.PAGESIZE
_CACHESTAT_NUMBER = 451  # the same on all 64-bit architectures that got it
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_PROBE_BYTES = 1 << 20


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Stat(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    )


class CachestatResidency:
    """Asks the kernel. Raises OSError when the call is not there or not allowed."""

    def __init__(self) -> None:
        # PyDLL keeps the GIL: the call only walks a tree in memory.
        self._syscall = ctypes.PyDLL(None, use_errno=True).syscall
        self._range = _Range()
        self._stat = _Stat()
        self._range_pointer = ctypes.byref(self._range)
        self._stat_pointer = ctypes.byref(self._stat)

    def __call__(self, fd: int, position: int, length: int) -> bool:
        """Whether the cache holds every page of the range."""
        self._range.offset = position
        self._range.length = length
        failed = self._syscall(_CACHESTAT_NUMBER, fd, self._range_pointer, self._stat_pointer, 0)
        if failed:
            code = ctypes.get_errno()
            if code in _UNSUPPORTED:  # this file system keeps its pages elsewhere
                return False
            raise OSError(code, os.strerror(code))
        pages = (position + length - 1) // PAGE_BYTES - position // PAGE_BYTES + 1
        return bool(self._stat.cached >= pages)


class NowaitResidency:
    """Reads the range, taking only what needs no waiting."""

    def __init__(self) -> None:
        self._scratch = memoryview(bytearray(_PROBE_BYTES))

    def __call__(self, fd: int, position: int, length: int) -> bool:
        """Whether the whole range could be read at once."""
        while length:
            part = min(length, _PROBE_BYTES)
            try:
                got = os.preadv(fd, [self._scratch[:part]], position, os.RWF_NOWAIT)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _UNSUPPORTED:
                    return False
                raise
            if got < part:
                return False
            position += part
            length -= part
        return True


def best_residency() -> Residency:
    """What this kernel offers."""
    if platform.machine() in ("x86_64", "aarch64"):
        try:
            probe = CachestatResidency()
            fd = os.memfd_create("residency-probe", os.MFD_CLOEXEC)
            try:
                os.write(fd, b"x")
                if probe(fd, 0, 1):
                    return probe
            finally:
                os.close(fd)
        except OSError:  # an older kernel, or a sandbox that forbids it: the other way works
            return NowaitResidency()
    return NowaitResidency()


def warm(fd: int, position: int, length: int) -> None:
    """Read the range into the page cache. May wait for the disk: only on a worker thread.

    Raises OSError when the disk does.
    """
    buffer = bytearray(min(length, _PROBE_BYTES))
    view = memoryview(buffer)
    while length > 0:
        got = os.preadv(fd, [view[: min(length, len(buffer))]], position)
        if got == 0:
            return  # shorter than promised: the sender will notice
        position += got
        length -= got
