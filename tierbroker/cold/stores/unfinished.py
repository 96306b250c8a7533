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
