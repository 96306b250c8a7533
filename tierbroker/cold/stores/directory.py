"""A store in a directory: the embedded default, and a shared file system.

An object is a plain file named by its key. It is written beside the others, synced and renamed
into place, and its directory synced, so that it is there whole or not at all whatever happens to
the machine. Writers of one directory, in this process or another one, take turns for the rename
on a lock file; that makes conditional writes right. Nothing that begins with a dot is an object.
A directory that held that file once and holds it no more is not there: its file system is not
mounted, and what was written now would be gone once it is again.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tierbroker.base.clock import Clock
from tierbroker.base.executor import Executor
from tierbroker.base.fs import FileSystem, make_directory_durably, write_fully
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.ports import ObjectFacts, ObjectPage
from tierbroker.cold.stores.body import PIECE_BYTES, Body
from tierbroker.cold.stores.directory_listing import objects_after
from tierbroker.cold.stores.unfinished import UnfinishedUpload
from tierbroker.cold.stores.work import begin

T = TypeVar("T")

PAGE_OBJECTS = 1000
INCOMING = ".incoming"
LOCK_FILE = ".lock"
NAME_MAX_BYTES = 255

_REFUSALS = {
    errno.ENOSPC: "the file system is full",
    errno.EDQUOT: "the quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "a directory has that name",
    errno.ENOTDIR: "a file has the name of a directory that is needed",
    errno.ENAMETOOLONG: "the path is too long",
}
_ABSENCES = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""Errors of a read that say: nothing is stored under that key."""


class DirectoryStore:
    """Objects as files below `root`."""

    def __init__(
        self,
        root: str,
        executor: Executor,
        fs: FileSystem,
        clock: Clock,
        *,
        page_objects: int = PAGE_OBJECTS,
    ) -> None:
        """Nothing is made on the disk before the first `put`."""
        self.root = os.path.abspath(root)
        self.url = f"file://{self.root}"
        self._executor = executor
        self._fs = fs
        self._clock = clock
        self._page_objects = page_objects
        self._attempts = 0
        self._was_there = False

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        source = Body(self._fs, body)
        self._attempts += 1
        temporary = f"{self.root}/{INCOMING}/{os.getpid()}-{id(self):x}-{self._attempts}"

        def work() -> ObjectFacts:
            path = self._path(key)
            # Settled again below; what is lost already need not be written.
            self._check_condition(key, path, if_absent, if_match)
            try:
                checksum = self._write(temporary, source)
                facts = self._move_into_place(key, temporary, path, if_absent, if_match)
            except BaseException:
                self._drop(temporary)
                raise
            return facts._replace(checksum=checksum)

        return begin(self._executor, lambda: self._translated(key, work), source.withdraw)

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""

        def work() -> bytes | memoryview:
            with self._opened(key) as fd:
                content = self._fs.pread(fd, length, start)
                if len(content) < length:
                    content = self._read_on(fd, content, length, start)
                if len(content) < length:
                    raise ObjectDamagedError(
                        f"{self.url}: {key} has {self._fs.file_size(fd)} bytes, not the "
                        f"{start + length} expected"
                    )
            return content

        return begin(self._executor, lambda: self._translated(key, work, reads=True))

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore. The file system keeps no checksum."""

        def work() -> ObjectFacts:
            path = self._path(key)
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            return self._facts(key, path)

        return begin(self._executor, lambda: self._translated(key, work, reads=True))

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore. Directories that are empty now go as well."""

        def work() -> None:
            path = self._path(key)
            if not self._fs.exists(path):
                return
            with self._locked():
                try:
                    self._fs.unlink(path)
                except FileNotFoundError:
                    return
                directory = os.path.dirname(path)
                self._fs.fsync_dir(directory)
                self._remove_empty(directory)

        return begin(self._executor, lambda: self._translated(key, work))

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""

        def work() -> ObjectPage:
            page: list[ObjectFacts] = []
            for key in objects_after(self.root, prefix, after):
                if len(page) == self._page_objects:
                    return ObjectPage(page, page[-1].key)
                try:
                    page.append(self._facts(key, f"{self.root}/{key}"))
                except FileNotFoundError:
                    continue  # deleted since its directory was read
            return ObjectPage(page, None)

        return begin(self._executor, lambda: self._translated(prefix, work))

    def close(self) -> None:
        """See ObjectStore."""

    def unfinished(self, older_than_ms: int) -> Pending[Sequence[UnfinishedUpload]]:
        """See UnfinishedUploads: what writers left that died in the middle."""

        def work() -> Sequence[UnfinishedUpload]:
            incoming = f"{self.root}/{INCOMING}"
            if not self._fs.exists(incoming):
                return ()
            before_ms = self._clock.now_ms() - older_than_ms
            found = []
            for name in sorted(self._fs.listdir(incoming)):
                try:
                    begun_ms = self._fs.mtime_ms(f"{incoming}/{name}")
                except FileNotFoundError:
                    continue  # finished meanwhile
                if begun_ms < before_ms:
                    found.append(UnfinishedUpload(name, "", begun_ms))
            return found

        return begin(self._executor, lambda: self._translated(INCOMING, work))

    def remove_unfinished(self, uploads: Sequence[UnfinishedUpload]) -> Pending[None]:
        """See UnfinishedUploads."""

        def work() -> None:
            for upload in uploads:
                try:
                    self._fs.unlink(f"{self.root}/{INCOMING}/{upload.key}")
                except FileNotFoundError:
                    continue

        return begin(self._executor, lambda: self._translated(INCOMING, work))

    # -- on the worker thread ------------------------------------------------------------------

    def _path(self, key: str) -> str:
        for name in key.split("/"):
            bad = not name or name.startswith(".") or "\0" in name
            if bad or len(name.encode()) > NAME_MAX_BYTES:
                raise StoreRefusedError(f"{self.url}: {key!r} cannot be a file name")
        return f"{self.root}/{key}"

    def _write(self, temporary: str, source: Body) -> int:
        """Write the body to a new file and sync it; its checksum."""
        make_directory_durably(self._fs, os.path.dirname(temporary))
        fd = self._fs.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            position = checksum = 0
            for piece in source.pieces(piece_bytes=PIECE_BYTES):
                write_fully(self._fs, fd, piece, position)
                checksum = crc64nvme(piece, checksum)
                position += len(piece)
            self._fs.fsync(fd)
        finally:
            self._fs.close(fd)
        return checksum

    def _move_into_place(
        self, key: str, temporary: str, path: str, if_absent: bool, if_match: str | None
    ) -> ObjectFacts:
        """Rename the finished file when the condition holds."""
        directory = os.path.dirname(path)
        with self._locked():
            self._check_condition(key, path, if_absent, if_match)
            make_directory_durably(self._fs, directory)
            if os.path.isdir(path):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if self._fs.exists(path):
                self._make_younger(temporary, self._fs.mtime_ms(path))
            self._fs.rename(temporary, path)
            self._fs.fsync_dir(directory)
            return self._facts(key, path)

    def _make_younger(self, temporary: str, than_ms: int) -> None:
        """An etag names a moment: no two objects that followed each other have the same one."""
        if self._fs.mtime_ms(temporary) > than_ms:
            return
        self._fs.set_mtime_ms(temporary, than_ms + 1)
        fd = self._fs.open(temporary, os.O_RDONLY)
        try:
            self._fs.fsync(fd)
        finally:
            self._fs.close(fd)

    def _check_condition(self, key: str, path: str, if_absent: bool, if_match: str | None) -> None:
        if if_absent and self._fs.exists(path):
            raise PreconditionFailedError(f"{self.url}: {key} exists already")
        if if_match is None:
            return
        if not self._fs.exists(path) or self._facts(key, path).etag != if_match:
            raise PreconditionFailedError(f"{self.url}: {key} is not the one of {if_match}")

    def _facts(self, key: str, path: str) -> ObjectFacts:
        modified_ms = self._fs.mtime_ms(path)
        size = self._fs.stat_size(path)
        return ObjectFacts(key, size, f"{modified_ms:x}-{size:x}", None, modified_ms)

    def _read_on(self, fd: int, content: bytes, length: int, start: int) -> bytes:
        """One read brings 2 GiB at most, and may bring less."""
        pieces, have = [content], len(content)
        while have < length and (piece := self._fs.pread(fd, length - have, start + have)):
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def _drop(self, temporary: str) -> None:
        try:
            self._fs.unlink(temporary)
        except OSError:
            return  # never made; or the disk fails, and remove_unfinished comes by later

    def _remove_empty(self, directory: str) -> None:
        while directory != self.root:
            try:
                os.rmdir(directory)
            except OSError:
                return  # not empty
            directory = os.path.dirname(directory)

    @contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        fd = self._fs.open(self._path(key), os.O_RDONLY)
        try:
            yield fd
        finally:
            self._fs.close(fd)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time; flock counts per opening of the file: threads exclude each other too."""
        create = 0 if self._was_there else os.O_CREAT
        fd = os.open(f"{self.root}/{LOCK_FILE}", os.O_RDWR | create, 0o644)
        try:
            self._was_there = True
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _check_there(self) -> None:
        """Raise StoreUnavailableError when the directory is not the one that it was."""
        if self._fs.exists(f"{self.root}/{LOCK_FILE}"):
            self._was_there = True
        elif self._was_there:
            raise StoreUnavailableError(
                f"{self.url}: the store's directory is gone, or another one is in its place: "
                f"{LOCK_FILE} is missing there. Is its file system mounted?"
            )

    def _translated(self, key: str, work: Callable[[], T], *, reads: bool = False) -> T:
        try:
            self._check_there()
            return work()
        except OSError as error:
            if reads and isinstance(error, _ABSENCES):
                raise ObjectNotFoundError(f"{self.url}: no object {key}") from error
            why = _REFUSALS.get(error.errno or 0)
            if why is not None:
                raise StoreRefusedError(f"{self.url}: {key}: {why} ({error})") from error
            raise StoreUnavailableError(f"{self.url}: {key}: {error}") from error
