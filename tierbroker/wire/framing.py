"""Cuts a byte stream into requests: four bytes of size, then that many bytes.

The caller receives into `get_buffer()` and reports with `received()`; no socket is touched here.
A request that arrives whole is copied out of a scratch buffer which all connections of a loop
share, so an idle connection owns no buffer. One that arrives in pieces gets its own bytearray,
which is received into directly and grows as bytes come, never ahead of a reservation.
A frame is mutable: the log patches offsets in it and writes straight from it.
"""

from struct import Struct
from typing import Protocol

SIZE_BYTES = 4
MINIMUM_FRAME_BYTES = 8
"""Api key, api version and correlation id: no request header is shorter (RequestHeader.json)."""
DEFAULT_FRAME_LIMIT_BYTES = 104_857_600
"""Kafka's default of socket.request.max.bytes."""
SCRATCH_BYTES = 262_144
"""Several pipelined produce requests of 16 KiB in one receive: half the cost of 64 KiB."""
LARGE_FRAME_BYTES = 65_536
"""After a request longer than this, no more than this is received into the scratch buffer: the
next one is likely to be long too, and what lands there has to be copied once more."""

_SIZE = Struct(">i")
_FIRST_CAPACITY = 65_536
_CAPACITY_STEP = 16
_LARGEST_STEP = 4 << 20  # filling it with zeros takes about two milliseconds


class FrameError(Exception):
    """The stream cannot be cut into requests any more: the connection has to be closed."""


class FrameBudget(Protocol):
    """The memory that frames may take, counted by the size they declare."""

    def try_reserve(self, size_bytes: int) -> bool:
        """Set memory aside for a frame that has not arrived yet, or refuse."""

    def charge(self, size_bytes: int) -> None:
        """Count a frame that has arrived already; never refused."""

    def release(self, size_bytes: int) -> None:
        """A frame of that size is gone."""


class UnlimitedBudget:
    """Refuses nothing: for tools and tests."""

    def try_reserve(self, size_bytes: int) -> bool:
        """Always granted."""
        return True

    def charge(self, size_bytes: int) -> None:
        """Nothing to count."""

    def release(self, size_bytes: int) -> None:
        """Nothing to count."""


class Scratch:
    """The receive buffer that the connections of one loop share, one turn at a time."""

    __slots__ = ("data", "short_view", "view")

    def __init__(self, size_bytes: int = SCRATCH_BYTES) -> None:
        assert size_bytes > SIZE_BYTES
        self.data = bytearray(size_bytes)
        self.view = memoryview(self.data)
        self.short_view = self.view[:LARGE_FRAME_BYTES]


class RequestFramer:
    """The receiving side of one connection.

    Each delivered frame counts in the budget with its length until the caller releases it.
    When the budget refuses a frame, `blocked_bytes` is its size: the caller must not receive
    until `try_unblock()` has said yes. After an error, `error` is set and nothing more is cut;
    the frames before it have been delivered.
    """

    __slots__ = (
        "_budget",
        "_expects_large",
        "_filled",
        "_frame",
        "_prefix",
        "_scratch",
        "_view",
        "blocked_bytes",
        "error",
        "limit_bytes",
        "minimum_bytes",
        "partial_bytes",
    )

    def __init__(
        self,
        scratch: Scratch,
        budget: FrameBudget,
        limit_bytes: int = DEFAULT_FRAME_LIMIT_BYTES,
        minimum_bytes: int = MINIMUM_FRAME_BYTES,
    ) -> None:
        self._scratch = scratch
        self._budget = budget
        self.limit_bytes = limit_bytes
        self.minimum_bytes = minimum_bytes
        self.blocked_bytes = 0
        self.error: FrameError | None = None
        self._prefix = b""
        self._frame: bytearray | None = None
        self._view: memoryview | None = None
        self._expects_large = False
        self._filled = 0
        self.partial_bytes = 0
        """Declared size of the frame that has begun to arrive; 0 between frames."""

    @property
    def received_bytes(self) -> int:
        """Bytes of the partial frame that are here."""
        return self._filled

    def get_buffer(self, size_only: bool = False) -> memoryview:
        """Where to receive next; never empty. Valid until `received`, in the same turn.

        With `size_only` a new frame is not received beyond its size, so that a connection that
        will have to wait for memory holds none.
        """
        assert self.error is None
        assert not self.blocked_bytes
        if self._frame is not None:
            self._view = memoryview(self._frame)[self._filled :]
            return self._view
        have = len(self._prefix)
        if not have:
            if size_only:
                return self._scratch.view[:SIZE_BYTES]
            return self._scratch.short_view if self._expects_large else self._scratch.view
        self._scratch.view[:have] = self._prefix
        return self._scratch.view[have : SIZE_BYTES if size_only else None]

    def received(self, count: int) -> list[bytearray]:
        """`count` bytes are in the buffer: the frames that are complete now, in order."""
        frame = self._frame
        if frame is None:
            return self._cut(len(self._prefix) + count)
        assert self._view is not None
        self._view.release()  # a bytearray cannot grow under a view of it
        self._filled += count
        if self._filled < self.partial_bytes:
            if self._filled == len(frame):
                self._grow(frame)
            return []
        self._expects_large = self.partial_bytes > LARGE_FRAME_BYTES
        self._frame = None
        self._filled = self.partial_bytes = 0
        return [frame]

    def try_unblock(self) -> bool:
        """Ask the budget again for the frame that it refused; True when receiving may go on."""
        if self.blocked_bytes and self._budget.try_reserve(self.blocked_bytes):
            self.blocked_bytes = 0
        return not self.blocked_bytes

    def close(self) -> None:
        """Drop what has arrived of an incomplete frame and give its reservation back."""
        if self._frame is not None and not self.blocked_bytes:
            self._budget.release(self.partial_bytes)
        self._frame = None
        self._filled = self.partial_bytes = 0
        self._prefix = b""
        self.blocked_bytes = 0

    def _cut(self, end: int) -> list[bytearray]:
        """Cut the first `end` bytes of the scratch buffer."""
        data = self._scratch.data
        frames: list[bytearray] = []
        position = 0
        while end - position >= SIZE_BYTES:
            (size,) = _SIZE.unpack_from(data, position)
            if not self.minimum_bytes <= size <= self.limit_bytes:
                self.error = FrameError(self._describe(size))
                self._prefix = b""
                return frames
            start = position + SIZE_BYTES
            position = start + size
            if position > end:
                self._prefix = b""
                self._begin(size, start, end)
                return frames
            self._expects_large = False
            self._budget.charge(size)
            frames.append(data[start:position])
        self._prefix = bytes(data[position:end]) if position < end else b""
        return frames

    def _begin(self, size: int, start: int, end: int) -> None:
        """A frame is incomplete: give it a buffer of its own."""
        if not self._budget.try_reserve(size):
            self.blocked_bytes = size
        frame = self._scratch.data[start:end]
        self._filled = end - start
        self.partial_bytes = size
        self._frame = frame
        self._grow(frame)

    def _grow(self, frame: bytearray) -> None:
        """Make room: what has arrived, times a few, and never beyond the frame."""
        arrived = self._filled
        wanted = min(self.partial_bytes, max(_FIRST_CAPACITY, arrived * _CAPACITY_STEP))
        frame += bytes(min(wanted - arrived, _LARGEST_STEP))

    def _describe(self, size: int) -> str:
        if size > self.limit_bytes:
            return (
                f"a request of {size} bytes is over the limit of {self.limit_bytes} "
                "(socket.request.max.bytes)"
            )
        return f"a request cannot be {size} bytes long"
