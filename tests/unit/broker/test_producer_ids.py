"""Producer ids: never twice, one block asked for at a time, failures reach who waits."""

import pytest

from tierbroker.base.errors import NotControllerError
from tierbroker.base.pending import Pending
from tierbroker.broker.producer_ids import ProducerIds


class Granter:
    def __init__(self) -> None:
        self.asked: list[Pending[range]] = []

    def __call__(self) -> Pending[range]:
        self.asked.append(Pending())
        return self.asked[-1]


@pytest.fixture
def granter() -> Granter:
    return Granter()


def test_ids_come_from_the_block_without_asking_again(granter: Granter) -> None:
    ids = ProducerIds(granter)
    first = ids.next()
    assert not first.done
    granter.asked[0].resolve(range(1000, 1003))
    assert first.result() == 1000
    assert [ids.next().result() for _ in range(2)] == [1001, 1002]
    assert len(granter.asked) == 1


def test_a_used_up_block_is_followed_by_the_next(granter: Granter) -> None:
    ids = ProducerIds(granter)
    waiting = [ids.next() for _ in range(5)]
    assert len(granter.asked) == 1
    granter.asked[0].resolve(range(2))
    assert [pending.done for pending in waiting] == [True, True, False, False, False]
    assert len(granter.asked) == 2
    granter.asked[1].resolve(range(10, 20))
    assert [pending.result() for pending in waiting] == [0, 1, 10, 11, 12]
    assert ids.next().result() == 13


def test_a_refusal_reaches_everyone_who_waits_and_the_next_asks_again(granter: Granter) -> None:
    ids = ProducerIds(granter)
    waiting = [ids.next(), ids.next()]
    granter.asked[0].fail(NotControllerError("not here"))
    assert [type(pending.error) for pending in waiting] == [NotControllerError] * 2
    later = ids.next()
    assert len(granter.asked) == 2
    granter.asked[1].resolve(range(7, 8))
    assert later.result() == 7


def test_nobody_overtakes_who_waits(granter: Granter) -> None:
    ids = ProducerIds(granter)
    order: list[int] = []
    for number in range(3):
        ids.next().on_done(lambda _, number=number: order.append(number))
    granter.asked[0].resolve(range(3))
    assert order == [0, 1, 2]
