"""What the core knows of its own log: the end, what is durable, and which epoch wrote what.

Pure bookkeeping; the bytes are elsewhere.
"""

from bisect import bisect_right
from collections.abc import Iterable

from tierbroker.controller.raft.types import Entry, OffsetAndEpoch

LOG_BEGIN = OffsetAndEpoch(0, 0)


class LogView:
    """Positions in one replica's log. `start` is where the log begins: a snapshot's end."""

    __slots__ = ("_epochs", "_starts", "end_offset", "flushed_offset", "start")

    def __init__(
        self,
        start: OffsetAndEpoch = LOG_BEGIN,
        end_offset: int = 0,
        flushed_offset: int = 0,
        epoch_starts: Iterable[tuple[int, int]] = (),
    ) -> None:
        self.start = start
        self.end_offset = end_offset
        self.flushed_offset = flushed_offset
        self._epochs: list[int] = []
        self._starts: list[int] = []
        for epoch, offset in epoch_starts:
            self._begin_epoch(epoch, offset)
        assert start.offset <= flushed_offset <= end_offset

    @property
    def last_epoch(self) -> int:
        """The epoch of the last record, of the snapshot if the log is empty."""
        return self._epochs[-1] if self._epochs else self.start.epoch

    @property
    def end(self) -> OffsetAndEpoch:
        """End offset and last epoch: what elections compare."""
        return OffsetAndEpoch(self.end_offset, self.last_epoch)

    def append(self, entry: Entry) -> None:
        """Note an appended entry."""
        assert entry.base_offset == self.end_offset, "entries follow each other without a gap"
        assert entry.epoch >= self.last_epoch, "epochs never go back along the log"
        if not self._epochs or entry.epoch > self._epochs[-1]:
            self._begin_epoch(entry.epoch, entry.base_offset)
        self.end_offset = entry.next_offset

    def truncate_to(self, offset: int) -> None:
        """Note that everything from `offset` on is gone."""
        assert self.start.offset <= offset <= self.end_offset
        self.end_offset = offset
        self.flushed_offset = min(self.flushed_offset, offset)
        while self._starts and self._starts[-1] >= offset:
            self._starts.pop()
            self._epochs.pop()

    def advance_start(self, snapshot: OffsetAndEpoch) -> None:
        """Note that the log begins at the end of this snapshot now."""
        assert self.start.offset <= snapshot.offset <= self.flushed_offset
        self.start = snapshot
        covered = bisect_right(self._starts, snapshot.offset) - 1
        if covered >= 0:
            del self._starts[:covered], self._epochs[:covered]
            self._starts[0] = snapshot.offset
            if self.end_offset == snapshot.offset:
                self._starts.clear()
                self._epochs.clear()

    def end_of_epoch(self, epoch: int) -> OffsetAndEpoch:
        """Where the largest epoch not above `epoch` ends in this log, and that epoch.

        The rule of OffsetForLeaderEpoch and of KRaft's divergence check
        (ReplicatedLog.endOffsetForEpoch).
        """
        position = bisect_right(self._epochs, epoch)
        if position == 0:
            return self.start
        end = self._starts[position] if position < len(self._starts) else self.end_offset
        return OffsetAndEpoch(end, self._epochs[position - 1])

    def _begin_epoch(self, epoch: int, offset: int) -> None:
        assert not self._epochs or (epoch > self._epochs[-1] and offset >= self._starts[-1])
        self._epochs.append(epoch)
        self._starts.append(offset)
