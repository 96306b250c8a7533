"""What happens while a producer id is awaited."""

import pytest

from tests.transaction_world import A, TransactionWorld
from tierbroker.base.errors import RequestTimedOutError
from tierbroker.wire.error_codes import ErrorCode


def test_two_that_wait_for_the_first_id_get_one() -> None:
    world = TransactionWorld()
    world.producer_ids.hold = True
    first, second = world.init(), world.init()
    world.producer_ids.grant()
    told = [(one.result().producer_id, one.result().producer_epoch) for one in (first, second)]
    assert told == [(1_000, 0), (1_000, 1)]


def test_an_id_that_comes_too_late_is_not_used() -> None:
    """Another producer initialized meanwhile: its id stays, the epoch fences it."""
    world = TransactionWorld()
    world.producer_ids.hold = True
    slow = world.init()
    world.producer_ids.hold = False
    quick = world.producer_ids.next()
    assert quick.result() == 1_001
    assert slow.result().producer_id == 1_000


def test_the_controller_may_refuse() -> None:
    world = TransactionWorld()
    world.producer_ids.refuse = RequestTimedOutError()
    assert world.init().result().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_a_fault_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    world = TransactionWorld()
    monkeypatch.setattr(world.producer_ids, "refuse", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        world.init()


def test_the_timeout_is_that_of_the_last_who_initialized() -> None:
    world = TransactionWorld()
    world.init(timeout_ms=5_000)
    world.init(timeout_ms=7_000)
    assert world.describe().transaction_timeout_ms == 7_000


def test_fencing_waits_for_the_abort_to_be_flushed() -> None:
    world = TransactionWorld(flush_at_once=False)
    world.init()
    world.log.flush()
    world.add((1_000, 0), A)
    world.log.flush()
    answer = world.init()
    assert not answer.done
    assert world.markers.asked == 0
    world.log.flush()
    assert answer.result().error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    assert world.markers.asked == 1
