"""What uploads leave behind that never ended: it costs space and is no object."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from tierbroker.base.pending import Pending


class UnfinishedUpload(NamedTuple):
    """An upload that was begun and neither finished nor given up."""

    key: str
    """What it was to become; for a directory store the name of a temporary file."""
    upload_id: str
    """Empty for a directory store."""
    begun_ms: int


@runtime_checkable
class UnfinishedUploads(Protocol):
    """Implemented by the stores that can leave some."""

    def unfinished(self, older_than_ms: int) -> Pending[Sequence[UnfinishedUpload]]:
        """Those that were begun longer ago, as far as the store lists them.

        The age tells them from uploads that are under way. MinIO lists none by prefix, and
        removes them by itself after a day.
        """

    def remove_unfinished(self, uploads: Sequence[UnfinishedUpload]) -> Pending[None]:
        """Give them up; one that is gone already is a success."""


@runtime_checkable
class UploadsInParts(Protocol):
    """Implemented by the stores to which large objects go in parts."""

    def parts_settled(self) -> Pending[None]:
        """Done when no upload in parts is under way.

        Those that were withdrawn have been given up by then, and their parts removed where the
        store answered. It takes as long as the store does.
        """


class UnderWay:
    """Counts what is under way, and tells when nothing is."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: list[Pending[None]] = []

    def begin(self) -> None:
        """One more."""
        self._count += 1

    def end(self) -> None:
        """One less."""
        self._count -= 1
        if self._count == 0:
            waiting, self._waiting = self._waiting, []
            for settled in waiting:
                settled.resolve(None)

    def settled(self) -> Pending[None]:
        """Done when nothing is under way."""
        settled: Pending[None] = Pending()
        if self._count:
            self._waiting.append(settled)
        else:
            settled.resolve(None)
        return settled
