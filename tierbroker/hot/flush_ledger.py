"""What of a log is not durable yet, and what flushes are under way for it.

Files stay open (acquired) from the moment they need a flush until one has covered them. Loop
thread only.
"""

from collections.abc import Iterable

from tierbroker.hot.file_cache import FileHandle


class _Flight:
    """One flush under way."""

    __slots__ = ("covers", "directories", "end_offset", "files")

    def __init__(
        self, end_offset: int, files: list[FileHandle], directories: dict[str, int]
    ) -> None:
        self.end_offset = end_offset
        self.covers = end_offset
        self.files = files
        self.directories = directories


class FlushLedger:
    """Unflushed files and directory names of one log, and its flushed offset."""

    __slots__ = ("_directories", "_files", "_flights", "_version", "flushed_offset")

    def __init__(self, flushed_offset: int) -> None:
        self.flushed_offset = flushed_offset
        self._files: list[FileHandle] = []
        self._directories: dict[str, int] = {}
        self._flights: list[_Flight] = []
        self._version = 0

    def add_files(self, handles: Iterable[FileHandle]) -> None:
        """These need a flush. Each was acquired once; the ledger releases it when it is covered."""
        self._files.extend(handles)

    def add_written(self, handle: FileHandle) -> None:
        """It was written to: the next flush must cover that, if none that is to come does so."""
        in_flight = [file.path for flight in self._flights for file in flight.files]
        to_come = [file.path for file in self._files]
        if to_come.count(handle.path) <= in_flight.count(handle.path):
            handle.acquire()
            self._files.append(handle)

    def add_directory(self, path: str) -> None:
        """The directory holds names that are not durable yet."""
        self._version += 1
        self._directories[path] = self._version

    @property
    def unflushed_files(self) -> tuple[FileHandle, ...]:
        """Those that no finished flush has covered."""
        return tuple(self._files)

    def has_work(self, log_end_offset: int) -> bool:
        """Whether anything is not durable."""
        return log_end_offset > self.flushed_offset or bool(self._files) or bool(self._directories)

    def begin(
        self, end_offset: int, active: FileHandle
    ) -> tuple[tuple[FileHandle, ...], tuple[str, ...]]:
        """Files and directories that a flush up to `end_offset` must sync.

        The files are acquired once more: whoever flushes releases them, on success or not.
        """
        self._flights.append(_Flight(end_offset, self._files.copy(), self._directories.copy()))
        files = (active, *self._files)
        for handle in files:
            handle.acquire()
        return files, tuple(self._directories)

    def finish(self, offset: int) -> None:
        """The flushes begun with an end offset up to this one have succeeded."""
        while self._flights and self._flights[0].end_offset <= offset:
            flight = self._flights.pop(0)
            self.flushed_offset = max(self.flushed_offset, flight.covers)
            for handle in flight.files:
                if handle in self._files:
                    self._files.remove(handle)
                    handle.release()
            for path, version in flight.directories.items():
                if self._directories.get(path) == version:
                    del self._directories[path]

    def cut(self, end_offset: int) -> None:
        """The log now ends at `end_offset`: no flush begun before covers anything beyond."""
        self.flushed_offset = min(self.flushed_offset, end_offset)
        for flight in self._flights:
            flight.covers = min(flight.covers, end_offset)

    def abandon(self) -> None:
        """The log closes: release what no flush under way needs."""
        for handle in self._files:
            handle.release()
        self._files.clear()
        self._directories.clear()
