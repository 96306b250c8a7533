"""Which transactional ids of a shard have an open transaction, and since when the oldest is open.

Kept up to date with every change, so that nobody who wants to know walks over all ids. Must never
decide anything: what is open is what the values say that are in force.
"""

from heapq import heapify, heappop, heappush

from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues

_SPARE = 64
"""Entries of the heap that may be out of date, beside as many as are not."""


class OpenTransactions:
    """Loop thread only."""

    __slots__ = ("_begun", "_heap")

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}
        # (begun, transactional id); an entry whose transaction has ended is out of date.
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._begun)

    @property
    def oldest_start_ms(self) -> int | None:
        """When the oldest of them began; None without one."""
        return self._heap[0][0] if self._heap else None

    def update(self, transactional_id: str, values: TransactionValues | None) -> None:
        """The id has these values from now on; None: it is gone."""
        begun = None
        if values is not None and values.state is TransactionState.ONGOING:
            begun = values.start_ms
        if begun == self._begun.get(transactional_id):
            return
        if begun is None:
            del self._begun[transactional_id]
        else:
            self._begun[transactional_id] = begun
            heappush(self._heap, (begun, transactional_id))
        self._drop_ended()

    def _drop_ended(self) -> None:
        """Leave an open transaction at the head, and few that have ended behind it."""
        begun, heap = self._begun, self._heap
        while heap and begun.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        if len(heap) > 2 * len(begun) + _SPARE:
            heap[:] = [(start_ms, name) for name, start_ms in begun.items()]
            heapify(heap)
