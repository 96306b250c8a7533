"""The order of requests and answers of one connection."""

import pytest

from tierbroker.base.parts import Part
from tierbroker.wire.connection import ConnectionState, Slot


def produce(number: int) -> bytearray:
    return bytearray(b"\x00\x00\x00\x09" + number.to_bytes(4, "big"))


def fetch(number: int) -> bytearray:
    return bytearray(b"\x00\x01\x00\x0c" + number.to_bytes(4, "big"))


def answer(number: int) -> list[Part]:
    return [number.to_bytes(4, "big")]


def taken(state: ConnectionState[str]) -> list[int]:
    ready, state.ready = state.ready, []
    return [int.from_bytes(b"".join(bytes(part) for part in parts), "big") for parts in ready]


def start(state: ConnectionState[str], expected: bytearray) -> Slot[str]:
    frame = state.next_request()
    assert frame == expected
    return state.pending(frame, f"promise {expected[-1]}")


def test_answers_at_once_leave_at_once() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), fetch(2)])
    for number in (1, 2):
        frame = state.next_request()
        assert frame == fetch(number)
        state.answered_at_once(frame, answer(number))
    assert taken(state) == [1, 2]
    assert state.wants_requests


def test_a_pending_request_holds_the_next_one_back() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), fetch(2), produce(3)])
    slot = start(state, fetch(1))
    assert state.next_request() is None
    assert not state.wants_requests
    state.answer(slot, answer(1))
    slot = start(state, fetch(2))
    assert state.next_request() is None
    state.answer(slot, answer(2))
    slot = start(state, produce(3))
    state.answer(slot, answer(3))
    assert taken(state) == [1, 2, 3]


def test_produce_requests_wait_together_and_are_answered_in_order() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2), produce(3), fetch(4)])
    slots = [start(state, produce(number)) for number in (1, 2, 3)]
    assert state.next_request() is None
    state.answer(slots[1], answer(2))
    state.answer(slots[2], answer(3))
    assert taken(state) == []
    assert state.next_request() is None
    state.answer(slots[0], answer(1))
    assert taken(state) == [1, 2, 3]
    start(state, fetch(4))


def test_a_produce_request_does_not_join_a_pending_fetch() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), produce(2)])
    start(state, fetch(1))
    assert state.next_request() is None


def test_an_answer_at_once_waits_for_the_pending_ones_before_it() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2)])
    slot = start(state, produce(1))
    frame = state.next_request()
    assert frame is not None
    state.answered_at_once(frame, answer(2))
    assert taken(state) == []
    state.answer(slot, answer(1))
    assert taken(state) == [1, 2]


def test_requests_without_an_answer_leave_no_gap() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2), produce(3)])
    slots = [start(state, produce(number)) for number in (1, 2, 3)]
    state.answer(slots[0], None)
    state.answer(slots[1], answer(2))
    state.answer(slots[2], None)
    assert taken(state) == [2]
    assert state.in_flight == 0


def test_pending_produce_requests_are_bounded() -> None:
    state: ConnectionState[str] = ConnectionState(max_in_flight=2)
    state.received([produce(1), produce(2), produce(3)])
    first = start(state, produce(1))
    start(state, produce(2))
    assert state.next_request() is None
    state.answer(first, answer(1))
    start(state, produce(3))


def test_a_refused_request_closes_after_the_earlier_answers() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2), produce(3)])
    slot = start(state, produce(1))
    assert state.next_request() == produce(2)
    assert state.refused("bad") == [8]
    assert state.close_reason is None
    assert not state.wants_requests
    assert state.next_request() is None
    state.answer(slot, answer(1))
    assert taken(state) == [1]
    assert state.close_reason == "bad"


def test_a_refused_request_with_nothing_before_it_closes_now() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1)])
    assert state.next_request() is not None
    assert state.refused("bad") == []
    assert state.close_reason == "bad"


def test_a_pending_request_refused_late_drops_what_comes_after_it() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2), produce(3)])
    slots = [start(state, produce(number)) for number in (1, 2, 3)]
    state.answer(slots[2], answer(3))
    state.refuse(slots[1], "acks=0 failed")
    assert state.close_reason is None
    state.answer(slots[0], answer(1))
    assert taken(state) == [1]
    assert state.close_reason == "acks=0 failed"
    promises, answers, sizes = state.abandon()
    assert (promises, answers, sizes) == ([], [answer(3)], [])


def test_an_answer_after_the_close_is_not_handed_over() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2)])
    slots = [start(state, produce(number)) for number in (1, 2)]
    state.refuse(slots[0], "bad")
    state.answer(slots[1], answer(2))
    assert taken(state) == []
    assert state.abandon() == ([], [answer(2)], [])


def test_the_end_of_input_lets_what_has_arrived_finish() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), fetch(2)])
    slot = start(state, fetch(1))
    assert state.end_input(drop_waiting=False) == []
    state.answer(slot, answer(1))
    assert not state.finished
    slot = start(state, fetch(2))
    state.answer(slot, answer(2))
    assert state.finished
    assert taken(state) == [1, 2]


def test_draining_drops_what_has_not_started() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), fetch(2)])
    slot = start(state, fetch(1))
    assert state.end_input(drop_waiting=True) == [8]
    assert not state.finished
    state.answer(slot, answer(1))
    assert state.finished
    assert taken(state) == [1]


def test_abandon_returns_everything_that_is_still_owned() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([produce(1), produce(2), produce(3), fetch(4)])
    slots = [start(state, produce(number)) for number in (1, 2, 3)]
    state.answer(slots[1], answer(2))
    promises, answers, sizes = state.abandon()
    assert promises == ["promise 1", "promise 3"]
    assert answers == [answer(2)]
    assert sizes == [8, 8, 8]
    assert state.finished


def test_more_requests_may_not_be_received_while_some_wait() -> None:
    state: ConnectionState[str] = ConnectionState()
    state.received([fetch(1), fetch(2)])
    with pytest.raises(AssertionError):
        state.received([fetch(3)])
