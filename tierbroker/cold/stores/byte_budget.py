"""One budget of memory for all that travels to and from a store.

Who comes first is served first, within a kind: reads go before uploads, because somebody waits for
them, and uploads leave a quarter of the budget to reads. A request for more than there is gets all.
"""

from collections import deque

from tierbroker.base.pending import Pending

UPLOAD_SHARE = 0.75


class Reservation:
    """Bytes that were granted, until `release`."""

    __slots__ = ("_budget", "_for_upload", "size_bytes")

    def __init__(self, budget: "ByteBudget", size_bytes: int, for_upload: bool) -> None:
        self._budget = budget
        self._for_upload = for_upload
        self.size_bytes = size_bytes

    def release(self) -> None:
        """Give the bytes back, once."""
        self._budget.give_back(self.size_bytes, self._for_upload)


class ByteBudget:
    """Grants reservations in the loop's turns; never over its limit."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._upload_limit = int(limit_bytes * UPLOAD_SHARE)
        self._upload_bytes = 0
        self._reads: deque[tuple[int, Pending[Reservation]]] = deque()
        self._uploads: deque[tuple[int, Pending[Reservation]]] = deque()

    @property
    def waiting(self) -> int:
        """Requests that wait for bytes."""
        return len(self._reads) + len(self._uploads)

    def for_read(self, size_bytes: int) -> Pending[Reservation]:
        """Reserve for something that comes from the store."""
        return self._wait_in(self._reads, min(size_bytes, self.limit_bytes))

    def for_upload(self, size_bytes: int) -> Pending[Reservation]:
        """Reserve for something that goes to the store."""
        return self._wait_in(self._uploads, min(size_bytes, self._upload_limit))

    def give_back(self, size_bytes: int, for_upload: bool) -> None:
        """What `Reservation.release` calls."""
        self.used_bytes -= size_bytes
        if for_upload:
            self._upload_bytes -= size_bytes
        self._serve()

    def _wait_in(
        self, queue: deque[tuple[int, Pending[Reservation]]], size_bytes: int
    ) -> Pending[Reservation]:
        pending: Pending[Reservation] = Pending()
        entry = (size_bytes, pending)
        queue.append(entry)
        self._serve()
        if not pending.done:
            pending.on_cancel = lambda: self._leave(queue, entry)
        return pending

    def _leave(
        self,
        queue: deque[tuple[int, Pending[Reservation]]],
        entry: tuple[int, Pending[Reservation]],
    ) -> None:
        queue.remove(entry)
        self._serve()  # a small one may have waited behind it

    def _serve(self) -> None:
        while self._reads and self.used_bytes + self._reads[0][0] <= self.limit_bytes:
            size_bytes, pending = self._reads.popleft()
            self.used_bytes += size_bytes
            pending.resolve(Reservation(self, size_bytes, False))
        while self._uploads and not self._reads and self._fits_upload(self._uploads[0][0]):
            size_bytes, pending = self._uploads.popleft()
            self.used_bytes += size_bytes
            self._upload_bytes += size_bytes
            pending.resolve(Reservation(self, size_bytes, True))

    def _fits_upload(self, size_bytes: int) -> bool:
        return (
            self._upload_bytes + size_bytes <= self._upload_limit
            and self.used_bytes + size_bytes <= self.limit_bytes
        )
