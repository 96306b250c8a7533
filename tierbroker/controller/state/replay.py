"""Turning a stretch of log into images, with the metadata transactions that Kafka may write.

Between BeginTransactionRecord and EndTransactionRecord nothing is visible (KIP-868); an abort
takes everything since the beginning back.
"""

from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.state.changes import Changes
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.result import MetadataRecord

_BEGIN = "BeginTransactionRecord"
_END = "EndTransactionRecord"
_ABORT = "AbortTransactionRecord"


class Replayer:
    """Feeds records in log order and hands out the images in between."""

    def __init__(self, image: MetadataImage) -> None:
        self._image = image
        self._delta = MetadataDelta(image)
        self._edited = False
        self._in_transaction = False
        self._finished: list[tuple[MetadataImage, Changes]] = []

    @property
    def in_transaction(self) -> bool:
        """A transaction is open, so the last records are not visible yet."""
        return self._in_transaction

    def replay(self, record: MetadataRecord, offset: int, epoch: int) -> None:
        """Apply the record at `offset`; raises MetadataCorruptError."""
        kind = type(record).__name__
        if kind == _BEGIN:
            self._expect_transaction(open_now=False, kind=kind, offset=offset)
            self._finish(offset - 1, epoch)
            self._in_transaction = True
        elif kind == _END:
            self._expect_transaction(open_now=True, kind=kind, offset=offset)
            self._in_transaction = False
            self._finish(offset, epoch)
        elif kind == _ABORT:
            self._expect_transaction(open_now=True, kind=kind, offset=offset)
            self._in_transaction = False
            self._delta = MetadataDelta(self._image)
            self._edited = False
        else:
            self._delta.replay(record, offset)
            self._edited = True

    def take(self, offset: int, epoch: int) -> list[tuple[MetadataImage, Changes]]:
        """The visible images since the last call, the last one as of `offset`.

        While a transaction is open, the last one is that from before it began.
        """
        if not self._in_transaction:
            if self._edited:
                self._finish(offset, epoch)
            elif offset > self._image.offset:
                self._advance(offset, epoch)
        finished, self._finished = self._finished, []
        return finished

    def _finish(self, offset: int, epoch: int) -> None:
        if self._edited:
            self._image, changes = self._delta.finish(offset, epoch)
            self._finished.append((self._image, changes))
            self._delta = MetadataDelta(self._image)
            self._edited = False

    def _advance(self, offset: int, epoch: int) -> None:
        self._image = self._image.at(offset, epoch)
        self._finished.append((self._image, Changes()))
        self._delta = MetadataDelta(self._image)

    def _expect_transaction(self, *, open_now: bool, kind: str, offset: int) -> None:
        if self._in_transaction != open_now:
            state = "open" if self._in_transaction else "not open"
            raise MetadataCorruptError(f"a {kind} at offset {offset}, a transaction is {state}")
