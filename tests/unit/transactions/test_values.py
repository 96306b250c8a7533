"""How each step changes what is known of a transactional id."""

from dataclasses import replace

from tests.transaction_world import A, B
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import (
    MAX_EPOCH,
    TransactionValues,
    bumped,
    completed,
    decided,
    fenced,
    is_exhausted,
    new_values,
    rotated,
    with_partitions,
)

NEW = new_values(7, 1_000, 50)
EMPTY = TransactionValues(7, 3, 1_000, update_ms=50, last_producer_epoch=2)
ONGOING = with_partitions(EMPTY, {A}, 60, 2)


def test_a_new_id_starts_with_epoch_0() -> None:
    values = bumped(NEW, 2_000, None, 51)
    assert values is not None
    assert (values.producer_id, values.producer_epoch, values.last_producer_epoch) == (7, 0, -1)
    assert (values.timeout_ms, values.update_ms, values.start_ms) == (2_000, 51, -1)
    assert bumped(NEW, 2_000, 9, 51) == values


def test_who_initializes_without_an_epoch_fences_for_good() -> None:
    values = bumped(EMPTY, 1_000, None, 51)
    assert values is not None
    assert (values.producer_epoch, values.last_producer_epoch) == (4, -1)
    assert bumped(values, 1_000, 3, 52) is None


def test_who_goes_on_may_ask_twice() -> None:
    values = bumped(EMPTY, 1_000, 3, 51)
    assert values is not None
    assert (values.producer_epoch, values.last_producer_epoch) == (4, 3)
    again = bumped(values, 1_000, 3, 52)
    assert again is not None
    assert (again.producer_epoch, again.last_producer_epoch) == (4, 3)
    assert bumped(values, 1_000, 2, 52) is None


def test_a_new_producer_id_remembers_the_one_before() -> None:
    values = rotated(EMPTY, 8, 2_000, 51, keep_last=True)
    assert (values.producer_id, values.previous_producer_id, values.producer_epoch) == (8, 7, 0)
    assert values.last_producer_epoch == 3
    assert rotated(EMPTY, 8, 2_000, 51, keep_last=False).last_producer_epoch == -1


def test_the_first_partitions_begin_a_transaction_and_others_join_it() -> None:
    assert (ONGOING.state, ONGOING.start_ms) == (TransactionState.ONGOING, 60)
    more = with_partitions(ONGOING, [A, B], 70, 2)
    assert (more.partitions, more.start_ms, more.update_ms) == ({A, B}, 60, 70)


def test_the_old_protocol_keeps_the_epoch() -> None:
    values = decided(ONGOING, 70, commit=True, version=0)
    assert (values.state, values.producer_epoch) == (TransactionState.PREPARE_COMMIT, 3)
    assert (values.partitions, values.start_ms) == ({A}, 60)
    end = completed(values, 80)
    assert (end.state, end.producer_epoch) == (TransactionState.COMPLETE_COMMIT, 3)
    assert (end.partitions, end.update_ms) == (frozenset(), 80)


def test_version_2_bumps_the_epoch_with_the_decision() -> None:
    values = decided(ONGOING, 70, commit=False, version=2)
    assert (values.producer_epoch, values.last_producer_epoch) == (4, 3)
    assert completed(values, 80).state is TransactionState.COMPLETE_ABORT


def test_an_abort_of_nothing_begins_now() -> None:
    assert decided(EMPTY, 70, commit=False, version=2).start_ms == 70


def test_the_last_epoch_is_followed_by_the_next_producer_id() -> None:
    last = replace(ONGOING, producer_epoch=MAX_EPOCH - 1)
    values = decided(last, 70, commit=True, version=2, next_producer_id=9)
    assert (values.producer_id, values.producer_epoch) == (7, MAX_EPOCH)
    end = completed(values, 80)
    assert (end.producer_id, end.producer_epoch, end.previous_producer_id) == (9, 0, 7)
    assert (end.next_producer_id, end.last_producer_epoch) == (-1, MAX_EPOCH - 1)


def test_epochs_do_not_overflow() -> None:
    used_up = replace(ONGOING, producer_epoch=MAX_EPOCH)
    assert fenced(used_up).producer_epoch == MAX_EPOCH
    assert decided(used_up, 70, commit=False, version=2).producer_epoch == MAX_EPOCH


def test_one_epoch_is_kept_for_fencing() -> None:
    assert is_exhausted(MAX_EPOCH - 1)
    assert not is_exhausted(MAX_EPOCH - 2)
    assert fenced(replace(ONGOING, producer_epoch=MAX_EPOCH - 1)).producer_epoch == MAX_EPOCH
