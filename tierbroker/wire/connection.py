"""Order on one connection: which request may start, and which answer may leave.

Answers leave in the order of their requests. A request starts when everything before it is
answered; only Produce requests may wait together, because each waits for durability and none
can see another's effect before its answer (Kafka keeps the same order by muting the socket, one
request at a time). Knows nothing of sockets or tasks, and never looks into a request beyond its
api key.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from tierbroker.base.parts import Part

MAX_IN_FLIGHT = 64
"""Produce requests of one connection that may wait together."""

Answer = list[Part] | None
P = TypeVar("P")


class Slot(Generic[P]):
    """The place of one started request in the order of the answers.

    `promise` is whatever the caller needs to cancel it.
    """

    __slots__ = ("answer", "answered", "close_reason", "frame_bytes", "promise")

    def __init__(self, frame_bytes: int, promise: P | None) -> None:
        self.frame_bytes = frame_bytes
        self.promise = promise
        self.answered = False
        self.answer: Answer = None
        self.close_reason: str | None = None


def _is_produce(frame: bytearray) -> bool:
    return frame[0] == 0 and frame[1] == 0


class ConnectionState(Generic[P]):
    """Requests in, answers out, in order.

    `ready` collects the answers that may be sent now; the caller empties it. `close_reason` is
    why the connection is to be closed once they are sent.
    """

    __slots__ = (
        "_all_produce",
        "_max_in_flight",
        "_slots",
        "_waiting",
        "close_reason",
        "input_ended",
        "ready",
    )

    def __init__(self, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        assert max_in_flight >= 1
        self._max_in_flight = max_in_flight
        self._waiting: list[bytearray] = []  # next one last
        self._slots: list[Slot[P]] = []  # oldest first; the first is never answered
        self._all_produce = True
        self.ready: list[list[Part]] = []
        self.input_ended = False
        self.close_reason: str | None = None

    @property
    def wants_requests(self) -> bool:
        """Whether more may be received: nothing waits for its turn, and none is refused."""
        return not self._waiting and not self.input_ended

    @property
    def has_waiting(self) -> bool:
        """Whether a request has arrived that has not started."""
        return bool(self._waiting)

    @property
    def in_flight(self) -> int:
        """Requests that have started and whose answer has not been handed over."""
        return len(self._slots)

    @property
    def finished(self) -> bool:
        """No request will come, none waits, and all that started are answered."""
        return self.input_ended and not self._waiting and not self._slots

    def received(self, frames: Sequence[bytearray]) -> None:
        """Requests have arrived. Only while `wants_requests`."""
        assert not self._waiting
        assert not self.input_ended
        self._waiting.extend(reversed(frames))

    def next_request(self) -> bytearray | None:
        """The request to start now, or None. Each must be followed by one of the next three."""
        waiting = self._waiting
        if not waiting:
            return None
        if self._slots:
            if not self._all_produce or len(self._slots) >= self._max_in_flight:
                return None
            if not _is_produce(waiting[-1]):
                return None
        return waiting.pop()

    def answered_at_once(self, frame: bytearray, answer: Answer) -> None:
        """The request just started is answered already."""
        if not self._slots:
            if answer is not None:
                self.ready.append(answer)
            return
        slot: Slot[P] = Slot(0, None)
        slot.answer = answer
        slot.answered = True
        self._slots.append(slot)

    def pending(self, frame: bytearray, promise: P) -> Slot[P]:
        """The request just started will be answered later, through its slot."""
        slot = Slot(len(frame), promise)
        self._all_produce = _is_produce(frame)  # others may only join when all are Produce
        self._slots.append(slot)
        return slot

    def refused(self, reason: str) -> list[int]:
        """The request just started cannot be answered: close after the earlier answers.

        Returns the sizes of the waiting requests that were dropped.
        """
        dropped = self.end_input(drop_waiting=True)
        if self._slots:
            slot: Slot[P] = Slot(0, None)
            slot.answered = True
            slot.close_reason = reason
            self._slots.append(slot)
        elif self.close_reason is None:
            self.close_reason = reason
        return dropped

    def answer(self, slot: Slot[P], answer: Answer) -> None:
        """A pending request has its answer; `ready` gets what may leave now."""
        assert not slot.answered
        slot.answer = answer
        slot.answered = True
        slot.promise = None
        self._hand_over()

    def refuse(self, slot: Slot[P], reason: str) -> list[int]:
        """A pending request has no answer: close after those before it.

        Returns the sizes of the waiting requests that were dropped.
        """
        slot.close_reason = reason
        dropped = self.end_input(drop_waiting=True)
        self.answer(slot, None)
        return dropped

    def end_input(self, drop_waiting: bool) -> list[int]:
        """No more requests: the client has finished, or has to.

        Returns the sizes of the waiting requests that were dropped.
        """
        self.input_ended = True
        if not drop_waiting:
            return []
        dropped = list(map(len, self._waiting))
        self._waiting.clear()
        return dropped

    def abandon(self) -> tuple[list[P], list[list[Part]], list[int]]:
        """The connection is gone.

        Returns the promises to cancel, the answers that will not be sent, and the sizes of the
        frames that still counted.
        """
        self.input_ended = True
        promises = [slot.promise for slot in self._slots if slot.promise is not None]
        answers = self.ready + [slot.answer for slot in self._slots if slot.answer]
        sizes = [slot.frame_bytes for slot in self._slots if not slot.answered]
        sizes += map(len, self._waiting)
        self._slots.clear()
        self._waiting.clear()
        self.ready = []
        return promises, answers, sizes

    def _hand_over(self) -> None:
        if self.close_reason is not None:
            return
        slots = self._slots
        count = 0
        for slot in slots:
            if not slot.answered:
                break
            count += 1
            if slot.close_reason is not None:
                self.close_reason = slot.close_reason
                break
            if slot.answer is not None:
                self.ready.append(slot.answer)
        del slots[:count]
        if not slots:
            self._all_produce = True
