"""Open descriptors of log files: leased while in use, few of them kept when idle (D-14).

A `FileHandle` is its own lease: whoever got the descriptor by `acquire` gives it back by
`release`, and the file stays open in between whatever becomes of the segment. Handles that nobody
uses stay open until the cache needs their place. Loop thread only.
"""

import errno
import logging
import os
from collections import OrderedDict

from tierbroker.base.fs import FileSystem

logger = logging.getLogger(__name__)

DEFAULT_CAPACITY = 512


class FileHandle:
    """One file, opened when it is first needed."""

    __slots__ = ("_cache", "_retired", "_uses", "fd", "path")

    def __init__(self, cache: "FileCache", path: str, fd: int = -1) -> None:
        self.path = path
        self.fd = fd
        """The descriptor; -1 while the file is closed, which it never is while acquired."""
        self._cache = cache
        self._uses = 0
        self._retired = False

    def acquire(self) -> int:
        """The descriptor, open until `release`; raises OSError when it cannot be opened."""
        if self._uses == 0:
            if self.fd < 0:
                self.fd = self._cache.open_file(self.path, os.O_RDWR)
            else:
                self._cache.idle.pop(self, None)
        self._uses += 1
        return self.fd

    def release(self) -> None:
        """One user less; the last one leaves the descriptor to the cache."""
        assert self._uses > 0, f"{self.path} was released more often than acquired"
        self._uses -= 1
        if self._uses == 0:
            if self._retired:
                self.close_now()
            else:
                self._cache.keep_idle(self)

    def retire(self) -> None:
        """The segment is gone: close as soon as nobody uses the descriptor, and do not keep it."""
        self._retired = True
        if self._uses == 0:
            self._cache.idle.pop(self, None)
            self.close_now()

    def close_now(self) -> None:
        """Close the descriptor. For the cache; everybody else releases or retires."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._cache.fs.close(fd)

    def cannot_read(self, position: int, error: OSError) -> None:
        """The disk refused bytes at `position`, or behind: they are to be looked at (`scrub`)."""
        self._cache.doubt(self.path, position, error)

    @property
    def is_open(self) -> bool:
        """Whether the file is open at the moment."""
        return self.fd >= 0


class FileCache:
    """The idle open files of all logs, least recently used first out."""

    def __init__(self, fs: FileSystem, capacity: int = DEFAULT_CAPACITY) -> None:
        assert capacity >= 0
        self.fs = fs
        self.capacity = capacity
        self.idle: OrderedDict[FileHandle, None] = OrderedDict()
        self.doubted: dict[str, OSError] = {}
        """Paths of files that somebody could not read, until the scrub looks at them."""

    def handle(self, path: str) -> FileHandle:
        """A handle of an existing file, not opened yet."""
        return FileHandle(self, path)

    def open_or_create(self, path: str) -> FileHandle:
        """A handle of an opened file that is made, empty, if it is not there; raises OSError."""
        return FileHandle(self, path, self.open_file(path, os.O_RDWR | os.O_CREAT))

    def create(self, path: str) -> FileHandle:
        """A handle of a new or emptied file; raises OSError when it cannot be made."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        return FileHandle(self, path, self.open_file(path, flags))

    def open_file(self, path: str, flags: int) -> int:
        """Open the file; idle ones make room when the process has no descriptor left."""
        try:
            return self.fs.open(path, flags | os.O_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not self.idle:
                raise
        self.close_idle()
        return self.fs.open(path, flags | os.O_CLOEXEC)

    def keep_idle(self, handle: FileHandle) -> None:
        """Keep an unused handle open for a while, at the cost of the one idle longest."""
        self.idle[handle] = None
        while len(self.idle) > self.capacity:
            oldest, _ = self.idle.popitem(last=False)
            oldest.close_now()

    def doubt(self, path: str, position: int, error: OSError) -> None:
        """A file could not be read: told once, however often it is tried until it is looked at."""
        if path not in self.doubted:
            self.doubted[path] = error
            logger.error("%s cannot be read at byte %d or behind: %s", path, position, error)

    def join(self, other: "FileCache") -> None:
        """Go on as a part of `other`, which counts the idle files of both from now on.

        So that logs opened on another thread, with a cache of their own, can be taken over.
        """
        self.close_idle()
        other.doubted.update(self.doubted)
        self.idle, self.doubted, self.capacity = other.idle, other.doubted, other.capacity

    def close_idle(self) -> None:
        """Close every file that nobody uses: for shutdown and tests."""
        while self.idle:
            handle, _ = self.idle.popitem()
            handle.close_now()
