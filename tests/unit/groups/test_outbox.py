"""Effects leave when a change is complete, in order, whoever comes back meanwhile."""

from tierbroker.base.pending import Pending
from tierbroker.groups.outbox import Outbox


def test_nothing_leaves_before_it_is_told_to() -> None:
    outbox = Outbox()
    pending: Pending[int] = Pending()
    outbox.answer(pending, 1)
    assert not pending.done
    outbox.deliver()
    assert pending.result() == 1


def test_effects_of_effects_come_after_those_that_waited() -> None:
    outbox = Outbox()
    order: list[str] = []

    def first() -> None:
        order.append("first")
        outbox.add(lambda: order.append("third"))
        outbox.deliver()
        order.append("first is over")

    outbox.add(first)
    outbox.add(lambda: order.append("second"))
    outbox.deliver()
    assert order == ["first", "second", "third", "first is over"]


def test_a_request_is_answered_once() -> None:
    outbox = Outbox()
    pending: Pending[int] = Pending()
    outbox.answer(pending, 1)
    outbox.answer(pending, 2)
    outbox.deliver()
    assert pending.result() == 1
