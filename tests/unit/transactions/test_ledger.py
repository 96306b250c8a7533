"""What is flushed is in force, what is not is not, and what failed did not happen."""

from tests.group_log import GroupLog
from tierbroker.base.errors import NotEnoughReplicasError
from tierbroker.transactions.ledger import Ledger
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues, new_values
from tierbroker.wire.error_codes import ErrorCode

NEW = new_values(7, 1_000, 50)
EMPTY = TransactionValues(7, 0, 1_000)
NEXT = TransactionValues(7, 1, 1_000)


def ledger(log: GroupLog) -> Ledger:
    return Ledger(0, log, lambda: 2)


def test_a_change_is_in_force_when_it_is_flushed() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    transaction = one.add("t", EMPTY)
    told: list[ErrorCode] = []
    one.change(transaction, NEXT, told.append)
    assert transaction.values is EMPTY
    assert transaction.pending is TransactionState.EMPTY
    assert told == []
    log.flush()
    assert transaction.values is NEXT
    assert transaction.pending is None
    assert told == [ErrorCode.NONE]


def test_a_change_that_fails_did_not_happen() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    transaction = one.add("t", EMPTY)
    told: list[ErrorCode] = []
    one.change(transaction, NEXT, told.append)
    log.fail(NotEnoughReplicasError())
    assert transaction.values is EMPTY
    assert transaction.pending is None
    assert told == [ErrorCode.COORDINATOR_NOT_AVAILABLE]


def test_a_change_that_must_be_tried_again_stays_pending() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    transaction = one.add("t", EMPTY)
    one.change(transaction, NEXT, lambda _: None, keep_pending=True)
    log.fail(NotEnoughReplicasError())
    assert transaction.pending is TransactionState.EMPTY


def test_a_new_id_is_gone_if_its_first_change_fails() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    one.change(one.add("t", NEW), EMPTY, lambda _: None)
    log.fail(NotEnoughReplicasError())
    assert one.transactions == {}


def test_a_closed_ledger_changes_nothing() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    transaction = one.add("t", EMPTY)
    told: list[ErrorCode] = []
    one.change(transaction, NEXT, told.append)
    one.expire([one.add("u", EMPTY)], told.append)
    one.closed = ErrorCode.NOT_COORDINATOR
    log.flush()
    assert transaction.values is EMPTY
    one.change(transaction, NEXT, told.append)
    assert told == [ErrorCode.NOT_COORDINATOR] * 3
    assert set(one.transactions) == {"t", "u"}


def test_expired_ids_are_gone_when_that_is_flushed() -> None:
    log = GroupLog(auto_flush=False)
    one = ledger(log)
    gone, kept = one.add("t", EMPTY), one.add("u", EMPTY)
    one.expire([gone], lambda _: None)
    assert gone.pending is TransactionState.DEAD
    log.flush()
    assert one.transactions == {"u": kept}
