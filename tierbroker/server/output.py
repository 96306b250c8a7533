"""The sending side of one connection: byte parts and file slices, in order, without copies.

Small parts go out together in one call; slices of files go from the page cache to the socket by
sendfile. What is not in the page cache is read on a worker thread first. Every lease is released
exactly once: when its slice is sent, or by `close()`. Must never wait.
"""

import errno
import os
import socket
from collections.abc import Callable
from enum import Enum, auto
from itertools import islice
from struct import Struct

from tierbroker.base.disk_faults import is_unreadable
from tierbroker.base.executor import Executor, Outcome
from tierbroker.base.parts import FileSlice, Part, parts_length, release_parts
from tierbroker.server.errors import TruncatedSliceError
from tierbroker.server.residency import Residency, warm
from tierbroker.wire.framing import SIZE_BYTES

INLINE_SLICE_BYTES = 16_384
"""A slice up to this is read and sent with its neighbours: one call instead of two."""
JOIN_BYTES = 32_768
"""Parts up to this in sum are joined: cheaper than a gathering call."""
COPY_BYTES = 262_144
MAX_PARTS = 512
"""Parts of one gathering call; IOV_MAX is 1024."""
READ_AHEAD_BYTES = 4 << 20

_SIZE = Struct(">i")
_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ESPIPE})
_NO_NOWAIT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class Progress(Enum):
    """Why sending stopped."""

    EMPTY = auto()
    SOCKET_FULL = auto()
    TURN_USED = auto()
    WARMING = auto()


class Sender:
    """How all connections of a server send: what the kernel offers, and the worker threads."""

    __slots__ = (
        "answered_bytes",
        "executor",
        "residency",
        "sendfile",
        "slack_bytes",
        "turn_bytes",
    )

    def __init__(
        self, residency: Residency, executor: Executor, sendfile: bool, turn_bytes: int
    ) -> None:
        self.residency = residency
        self.executor = executor
        self.sendfile = sendfile
        self.turn_bytes = turn_bytes
        # A rest this short, of a slice or of everything, goes along: no turn of its own for it.
        self.slack_bytes = turn_bytes // 16
        self.answered_bytes = 0
        """Of all answers since the start."""


class Output:
    """What a connection has yet to send. `on_warm` is called when sending may go on."""

    __slots__ = (
        "_has_slices",
        "_head_sent",
        "_on_warm",
        "_parts",
        "_resident_end",
        "_sender",
        "_socket",
        "_warming",
        "closed",
        "unsent_bytes",
    )

    def __init__(
        self, connection: socket.socket, sender: Sender, on_warm: Callable[[Outcome[None]], None]
    ) -> None:
        self._socket = connection
        self._sender = sender
        self._on_warm = on_warm
        self._parts: list[Part] = []
        self._has_slices = False
        self._head_sent = 0
        self._resident_end = -1  # of the first part, when it is a slice: known to be in memory
        self._warming: FileSlice | None = None
        self.closed = False
        self.unsent_bytes = 0

    def add(self, answer: list[Part]) -> None:
        """Queue one answer; its size goes before it."""
        size = parts_length(answer)
        self._parts.append(_SIZE.pack(size))
        self._parts.extend(answer)
        if FileSlice in map(type, answer):
            self._has_slices = True
        self.unsent_bytes += size + SIZE_BYTES
        self._sender.answered_bytes += size + SIZE_BYTES

    def send(self) -> Progress:
        """Send what the socket takes, at most one turn's worth.

        Raises OSError when the peer is gone or the disk fails, TruncatedSliceError when a file
        is shorter than its slice.
        """
        if self._warming is not None:
            return Progress.WARMING
        if not self._has_slices and self.unsent_bytes <= JOIN_BYTES and not self._head_sent:
            return self._send_small()
        left = self._sender.turn_bytes
        slack = self._sender.slack_bytes
        while self._parts:
            if left <= 0:
                if self.unsent_bytes > slack:
                    return Progress.TURN_USED
                left = slack
            before = self.unsent_bytes
            head = self._parts[0]
            if type(head) is FileSlice and not self._inline(0, head):
                stopped = self._send_slice(head, left)
            else:
                stopped = self._send_bytes(left)
            if stopped is not None:
                return stopped
            left -= before - self.unsent_bytes
        self._has_slices = False
        return Progress.EMPTY

    def close(self) -> None:
        """Nothing more will be sent: release every lease (that of a slice in work, when done)."""
        self.closed = True
        parts, self._parts = self._parts, []
        self.unsent_bytes = 0
        if self._warming is not None:
            assert parts[0] is self._warming
            del parts[0]
        release_parts(parts)

    def _send_small(self) -> Progress:
        """Send everything in one call: what most answers come to."""
        try:
            sent = self._socket.send(b"".join(self._parts))  # type: ignore[arg-type]
        except (BlockingIOError, InterruptedError):
            return Progress.SOCKET_FULL
        if sent < self.unsent_bytes:
            self._sent(sent)
            return Progress.SOCKET_FULL
        self._parts.clear()
        self.unsent_bytes = 0
        return Progress.EMPTY

    def _send_bytes(self, left: int) -> Progress | None:
        """Send the byte parts at the head together."""
        parts = self._parts
        count = total = 0
        for part in islice(parts, MAX_PARTS):
            if type(part) is FileSlice and not self._inline(count, part):
                break
            total += len(part)
            count += 1
            if total >= left:
                break
        total -= self._head_sent
        flags = socket.MSG_MORE if count < len(parts) else 0
        chunks: list[bytes | bytearray | memoryview] = parts[:count]  # type: ignore[assignment]
        if self._head_sent:
            chunks[0] = memoryview(chunks[0])[self._head_sent :]
        if total > left:  # the last part is a long one: not all of it in one turn
            excess = total - left
            chunks[-1] = memoryview(chunks[-1])[: len(chunks[-1]) - excess]
            total = left
        try:
            if count == 1:
                sent = self._socket.send(chunks[0], flags)
            elif total <= JOIN_BYTES:
                sent = self._socket.send(b"".join(chunks), flags)
            else:
                sent = self._socket.sendmsg(chunks, (), flags)
        except (BlockingIOError, InterruptedError):
            return Progress.SOCKET_FULL
        self._sent(sent)
        return Progress.SOCKET_FULL if sent < total else None

    def _send_slice(self, part: FileSlice, left: int) -> Progress | None:
        """Send from the slice at the head."""
        position = part.position + self._head_sent
        count = part.length - self._head_sent
        if count > left + self._sender.slack_bytes:
            count = left
        if count == 0:
            self._sent(0)
            return None
        if position + count > self._resident_end:
            if not self._sender.residency(part.fd, position, count):
                self._warm(part, position, count)
                return Progress.WARMING
            self._resident_end = position + count
        try:
            if self._sender.sendfile:
                sent = os.sendfile(self._socket.fileno(), part.fd, position, count)
            else:
                count = min(count, COPY_BYTES)
                data = os.pread(part.fd, count, position)
                sent = self._socket.send(data) if data else 0
        except (BlockingIOError, InterruptedError):
            return Progress.SOCKET_FULL
        except OSError as error:
            if not self._sender.sendfile or error.errno not in _NO_SENDFILE:
                _tell_owner(part, position, error)
                raise
            self._sender.sendfile = False  # not with these files: read and send from now on
            return None
        if sent == 0:
            raise TruncatedSliceError(
                f"{part} has no byte {position}: the file is shorter than its slice"
            )
        self._sent(sent)
        return Progress.SOCKET_FULL if sent < count else None

    def _inline(self, index: int, part: FileSlice) -> bool:
        """Replace a small slice by its bytes, if they are in memory."""
        if part.length > INLINE_SLICE_BYTES or (index == 0 and self._head_sent):
            return False
        data = bytearray(part.length)
        if part.length:
            known = index == 0 and part.position + part.length <= self._resident_end
            try:
                got = os.preadv(part.fd, [data], part.position, 0 if known else os.RWF_NOWAIT)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NO_NOWAIT:
                    _tell_owner(part, part.position, error)
                    raise
                if not self._sender.residency(part.fd, part.position, part.length):
                    return False
                got = os.preadv(part.fd, [data], part.position)
            if got < part.length:
                return False
        self._parts[index] = data
        part.lease.release()
        return True

    def _sent(self, count: int) -> None:
        """`count` bytes of the head have left."""
        self.unsent_bytes -= count
        count += self._head_sent
        done = 0
        for part in self._parts:
            size = len(part)
            if size > count:
                break
            count -= size
            done += 1
            if type(part) is FileSlice:
                part.lease.release()
        if done:
            del self._parts[:done]
            self._resident_end = -1
        self._head_sent = count

    def _warm(self, part: FileSlice, position: int, length: int) -> None:
        """Have the range read into memory elsewhere; this slice stays leased meanwhile."""
        self._warming = part
        fd = part.fd
        end = part.position + part.length

        def work() -> None:
            warm(fd, position, length)
            after = position + length
            if after < end:
                ahead = min(end - after, READ_AHEAD_BYTES)
                os.posix_fadvise(fd, after, ahead, os.POSIX_FADV_WILLNEED)

        def done(outcome: Outcome[None]) -> None:
            self._warming = None
            if isinstance(outcome.error, OSError):
                _tell_owner(part, position, outcome.error)
            if self.closed:
                part.lease.release()
                return
            # Sent without asking again: it may have been evicted already, and has to leave once.
            self._resident_end = position + length
            self._on_warm(outcome)

        self._sender.executor.run(work, done)


def _tell_owner(part: FileSlice, position: int, error: OSError) -> None:
    """If it was the disk that failed and not the client that went."""
    if is_unreadable(error):
        part.lease.cannot_read(position, error)
