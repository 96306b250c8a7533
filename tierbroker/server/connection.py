"""One client connection on the loop: a socket between its framer, its state and its output.

Requests go to the dispatch callable in the turn in which they arrive, and what is answered at
once is sent in that turn. Reading stops while a request has to wait for its turn, for memory or
for the client to read its answers. One bad request closes this connection, never the server.
Must never know what a request means.
"""

import logging
import socket
from functools import partial

from tierbroker.base.errors import CloseConnection
from tierbroker.base.executor import Outcome
from tierbroker.base.parts import release_parts
from tierbroker.base.pending import Pending
from tierbroker.server.context import Promise, ServerContext
from tierbroker.server.errors import TruncatedSliceError
from tierbroker.server.memory import SMALL_FRAME_BYTES, Waiting
from tierbroker.server.output import Output, Progress
from tierbroker.wire.connection import ConnectionState, Slot
from tierbroker.wire.framing import RequestFramer
from tierbroker.wire.peer import Peer

logger = logging.getLogger(__name__)

REQUESTS_PER_TURN = 64
"""Requests of one connection that start in one turn: other connections get theirs (D-11)."""
_DISCARD_BYTES = 1 << 20


class Connection:
    """A connected socket. Created reading; ends with `close()`, its own or the server's."""

    __slots__ = (
        "_context",
        "_fd",
        "_framer",
        "_in_turn",
        "_output",
        "_reading",
        "_socket",
        "_state",
        "_waiting",
        "_writing",
        "closed",
        "frame_tick",
        "half_closed",
        "peer",
        "touched",
    )

    def __init__(self, connection: socket.socket, peer: Peer, context: ServerContext) -> None:
        limits = context.limits
        self.peer = peer
        self._socket = connection
        self._fd = connection.fileno()
        self._context = context
        self._framer = RequestFramer(context.scratch, context.memory, limits.request_max_bytes)
        self._state: ConnectionState[Promise] = ConnectionState(limits.max_in_flight)
        self._output = Output(connection, context.sender, self._on_warm)
        self._in_turn = False
        self._writing = False
        self._waiting: Waiting | None = None
        self.closed = False
        self.half_closed = False
        self.touched = self.frame_tick = context.tick
        self._reading = True
        context.loop.add_reader(self._fd, self._on_readable)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client: to send a request, or to read an answer."""
        return self._output.unsent_bytes > 0 or not self._state.in_flight

    @property
    def partial_frame_bytes(self) -> int:
        """Declared size of a request that has arrived in part; 0 when there is none."""
        return 0 if self._framer.blocked_bytes else self._framer.partial_bytes

    def drain(self) -> None:
        """Take no more requests; close when those that have started are answered and sent."""
        self._framer.close()
        self._context.memory.release_all(self._state.end_input(drop_waiting=True))
        self._stop_reading()
        self._progress()

    def close(self, reason: str | None = None) -> None:
        """Close now. Answers that have not left are dropped, promises cancelled.

        A `reason` is what a person should know about it: one rate-limited line of the log.
        """
        if self.closed:
            return
        self.closed = True
        loop = self._context.loop
        # Before the descriptor: its number may be reused at once, and uvloop would never fire.
        self._stop_reading()
        if self._writing:
            loop.remove_writer(self._fd)
            self._writing = False
        if reason is not None:
            self._context.log.warning(
                logger,
                "closed connection %d of %s: %s",
                self.peer.id,
                self.peer.client_host,
                reason,
            )
        if self._waiting is not None:
            self._context.memory.stop_waiting(self._waiting)
            self._waiting = None
        promises, answers, frames = self._state.abandon()
        self._framer.close()
        self._output.close()
        for answer in answers:
            release_parts(answer)
        self._context.memory.release_all(frames)
        self._socket.close()
        self._context.on_closed(self.peer)
        for promise in promises:
            _forget(promise)

    # Reading

    def _on_readable(self) -> None:
        try:
            if self._may_read():
                self._receive()
            else:
                # Lazily: most connections have nothing to read while they may not.
                self._stop_reading()
        except Exception as error:  # noqa: BLE001 - a bug: the node has to hear of it
            self._failed(error)

    def _may_read(self) -> bool:
        if not self._state.wants_requests or self._waiting is not None:
            return False
        if self._output.unsent_bytes >= self._context.output_limit_bytes:
            return False
        if self._context.memory.small_exhausted:
            self._wait_for_memory(SMALL_FRAME_BYTES)
            return False
        return True

    def _receive(self) -> None:
        """Read until the socket is empty, the turn is used or a request has to wait."""
        context = self._context
        framer = self._framer
        left = context.read_turn_bytes
        self.touched = context.tick
        while True:
            buffer = framer.get_buffer(context.memory.under_pressure)
            room = len(buffer)
            try:
                count = self._socket.recv_into(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()  # reset by the client: nothing that anybody could act on
                return
            if count == 0:
                self._on_end_of_input()
                return
            context.received_bytes += count
            frames = framer.received(count)
            if frames:
                self.frame_tick = context.tick
                self._state.received(frames)
                self._progress()
                if self.closed:
                    return
            if framer.error is not None:
                self._refuse_input(str(framer.error))
                return
            if framer.blocked_bytes:
                self._wait_for_memory(framer.blocked_bytes)
                return
            left -= count
            if count < room or left <= 0 or not self._may_read():
                return

    def _on_end_of_input(self) -> None:
        """The client sends nothing more; it may still want its answers."""
        self.half_closed = True
        self._framer.close()
        self._state.end_input(drop_waiting=False)
        self._stop_reading()
        self._progress()

    def _refuse_input(self, reason: str) -> None:
        """No request can be read any more: close after the earlier answers."""
        self._framer.close()
        self._state.end_input(drop_waiting=False)
        self._stop_reading()
        self._context.log.warning(
            logger,
            "closing connection %d of %s: %s",
            self.peer.id,
            self.peer.client_host,
            reason,
        )
        self._progress()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._context.loop.remove_reader(self._fd)

    def _resume_reading(self) -> None:
        if not self._reading and not self.closed and self._may_read():
            self._reading = True
            self._context.loop.add_reader(self._fd, self._on_readable)

    def _wait_for_memory(self, size_bytes: int) -> None:
        self._stop_reading()
        self._waiting = self._context.memory.wait(size_bytes, self._on_memory)

    def _on_memory(self) -> None:
        """There may be room for what was refused."""
        self._waiting = None
        if self.closed or self._state.input_ended:
            return
        if self._framer.blocked_bytes and not self._framer.try_unblock():
            self._wait_for_memory(self._framer.blocked_bytes)
            return
        self.frame_tick = self._context.tick
        self._resume_reading()

    # Requests and answers

    def _progress(self) -> None:
        """Start what may start, send what is ready, until neither can go on."""
        if self._in_turn:
            return
        self._in_turn = True
        left = REQUESTS_PER_TURN
        try:
            while left:
                left = self._start_requests(left)
        finally:
            self._in_turn = False
        if self.closed:
            return
        state = self._state
        if state.finished or state.close_reason is not None:
            self._close_when_sent()
        elif not self._reading:
            self._resume_reading()

    def _start_requests(self, left: int) -> int:
        """One round of at most `left` requests; how many may follow if sending made room."""
        state = self._state
        output = self._output
        limit = self._context.output_limit_bytes
        while left and output.unsent_bytes < limit:
            frame = state.next_request()
            if frame is None:
                break
            left -= 1
            self._start(frame)
            if self.closed:
                return 0
            if state.ready:
                self._queue_answers()
        if state.ready:
            self._queue_answers()
        if not left and state.has_waiting:
            self._context.progress_later(self._progress_deferred)  # others have their turn first
        if not output.unsent_bytes or self._writing:
            return 0
        was_full = output.unsent_bytes >= limit
        self._send()
        return left if was_full and not self.closed and output.unsent_bytes < limit else 0

    def _start(self, frame: bytearray) -> None:
        """Hand one request over, and take its answer if it has one."""
        context = self._context
        state = self._state
        size = len(frame)
        try:
            answer = context.dispatch(self.peer, frame)
            if isinstance(answer, Pending):
                if not answer.done:
                    if self.closed:  # by the handler: it stops the server
                        context.memory.release(size)
                        _forget(answer)
                        return
                    slot = state.pending(frame, answer)
                    answer.on_done(partial(self._on_answer, slot))
                    return
                answer = answer.result()
        except CloseConnection as error:
            context.memory.release(size)
            context.memory.release_all(state.refused(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - a bug of a handler: the node has to hear of it
            context.memory.release(size)
            self._failed(error)
            return
        context.memory.release(size)
        if self.closed:
            if answer:
                release_parts(answer)
            return
        state.answered_at_once(frame, answer)

    def _on_answer(self, slot: Slot[Promise], promise: Promise) -> None:
        """A pending request is answered, in somebody else's turn."""
        if self.closed:
            _drop_answer(promise)
            return
        try:
            size, slot.frame_bytes = slot.frame_bytes, 0  # whatever happens now, once
            self._context.memory.release(size)
            try:
                answer = promise.result()
            except CloseConnection as error:
                self._context.memory.release_all(self._state.refuse(slot, str(error)))
            else:
                self._state.answer(slot, answer)
            if self._state.in_flight and not self._state.input_ended:
                # The next one is likely to be answered in this turn: one call sends them all.
                self._context.progress_later(self._progress_deferred)
            else:
                self._progress()
        except Exception as error:  # noqa: BLE001 - must not reach whoever resolved the promise
            self._failed(error)

    def _progress_deferred(self) -> None:
        try:
            self._progress()
        except Exception as error:  # noqa: BLE001 - a bug: the node has to hear of it
            self._failed(error)

    def _queue_answers(self) -> None:
        ready = self._state.ready
        for answer in ready:
            self._output.add(answer)
        ready.clear()

    # Sending

    def _send(self) -> None:
        """Send what the socket takes now and arrange for the rest."""
        try:
            progress = self._output.send()
        except OSError as error:
            # EIO is the disk's; everything else means that the client is gone.
            self.close(None if isinstance(error, ConnectionError) else f"cannot send: {error}")
            return
        except TruncatedSliceError as error:
            self.close(str(error))
            return
        self.touched = self._context.tick
        wants_writer = progress is Progress.SOCKET_FULL or progress is Progress.TURN_USED
        if wants_writer != self._writing:
            self._writing = wants_writer
            if wants_writer:
                self._context.loop.add_writer(self._fd, self._on_writable)
            else:
                self._context.loop.remove_writer(self._fd)

    def _on_writable(self) -> None:
        try:
            before = self._output.unsent_bytes
            touched = self.touched
            self._send()
            if self._output.unsent_bytes == before:
                self.touched = touched
            if not self._output.unsent_bytes or not self._state.wants_requests:
                self._progress()
            elif not self._reading:
                self._resume_reading()
        except Exception as error:  # noqa: BLE001 - a bug: the node has to hear of it
            self._failed(error)

    def _on_warm(self, outcome: Outcome[None]) -> None:
        try:
            if isinstance(outcome.error, OSError):
                self.close(f"cannot read what it asked for: {outcome.error}")
                return
            outcome.unwrap()
            self._send()
            self._progress()
        except Exception as error:  # noqa: BLE001 - a bug: the node has to hear of it
            self._failed(error)

    def _close_when_sent(self) -> None:
        if self._output.unsent_bytes:
            return
        reason = self._state.close_reason
        if not self.half_closed:
            self._say_goodbye()
        self.close(reason)

    def _say_goodbye(self) -> None:
        """End the stream in order: closing with unread input would reset the connection, and
        the client might never see the answers that it has not read yet."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            left = _DISCARD_BYTES
            while left > 0:
                count = self._socket.recv_into(self._context.scratch.view)
                if count == 0:
                    return
                left -= count
        except OSError:
            return  # nothing (more) to read, or the client is gone: both end it

    def _failed(self, error: Exception) -> None:
        self.close()
        self._context.on_error(error)


def _forget(promise: Promise) -> None:
    """Nobody waits for the answer; should it come all the same, its leases are released."""
    promise.cancel()
    promise.on_done(_drop_answer)


def _drop_answer(promise: Promise) -> None:
    """An answer for a connection that is gone: its leases must not stay."""
    if promise.error is None and (answer := promise.result()):
        release_parts(answer)
