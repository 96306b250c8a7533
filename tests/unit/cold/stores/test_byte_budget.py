"""Who gets memory when, and that there is never more of it."""

import random

import pytest

from tierbroker.cold.stores.byte_budget import ByteBudget, Reservation


@pytest.fixture
def budget() -> ByteBudget:
    return ByteBudget(100)


def test_what_fits_is_granted_at_once(budget: ByteBudget) -> None:
    assert budget.for_read(60).done
    assert budget.for_upload(40).done
    assert budget.used_bytes == 100


def test_uploads_leave_a_quarter_to_reads(budget: ByteBudget) -> None:
    assert budget.for_upload(75).done
    assert not budget.for_upload(1).done
    assert budget.for_read(25).done


def test_reads_go_before_uploads(budget: ByteBudget) -> None:
    first = budget.for_read(100).result()
    upload, read = budget.for_upload(50), budget.for_read(100)
    first.release()
    assert (read.done, upload.done) == (True, False)
    read.result().release()
    assert upload.done


def test_who_comes_first_is_served_first(budget: ByteBudget) -> None:
    first = budget.for_read(90).result()
    large, small = budget.for_read(50), budget.for_read(5)
    assert not small.done, "or the large one might wait for ever"
    first.release()
    assert large.done
    assert small.done


def test_more_than_there_is_gets_all(budget: ByteBudget) -> None:
    read = budget.for_read(1000)
    assert read.result().size_bytes == 100
    upload = budget.for_upload(1000)
    read.result().release()
    assert upload.result().size_bytes == 75


def test_who_waits_no_more_makes_room(budget: ByteBudget) -> None:
    budget.for_read(60).result()
    large, small = budget.for_read(50), budget.for_read(40)
    large.cancel()
    assert small.done
    assert budget.waiting == 0


def test_the_limit_is_never_exceeded() -> None:
    rng = random.Random(7)
    budget = ByteBudget(1000)
    waiting = []
    held: list[Reservation] = []
    for _ in range(5000):
        ask = rng.choice((budget.for_read, budget.for_upload))
        waiting.append(ask(rng.randrange(1, 600)))
        if held and rng.random() < 0.6:
            held.pop(rng.randrange(len(held))).release()
        if rng.random() < 0.1 and waiting:
            unwanted = waiting.pop(rng.randrange(len(waiting)))
            unwanted.result().release() if unwanted.done else unwanted.cancel()
        held += [pending.result() for pending in waiting if pending.done]
        waiting = [pending for pending in waiting if not pending.done]
        assert budget.used_bytes == sum(reservation.size_bytes for reservation in held) <= 1000
    while held:
        held.pop().release()
        held += [pending.result() for pending in waiting if pending.done]
        waiting = [pending for pending in waiting if not pending.done]
    assert not waiting
    assert budget.used_bytes == 0
