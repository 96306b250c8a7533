"""Partitions are added when that is flushed, and verified by what is flushed."""

from tests.transaction_world import A, B, TransactionWorld
from tierbroker.wire.error_codes import ErrorCode


def test_what_is_being_added_is_not_added_yet() -> None:
    world = TransactionWorld(flush_at_once=False)
    world.init()
    world.log.flush()
    answer = world.add((1_000, 0), A)
    assert not answer.done
    assert world.verify((1_000, 0), A) == {A: ErrorCode.TRANSACTION_ABORTABLE}
    assert world.add((1_000, 0), B).result() is ErrorCode.CONCURRENT_TRANSACTIONS
    world.log.flush()
    assert answer.result() is ErrorCode.NONE
    assert world.verify((1_000, 0), A, B) == {
        A: ErrorCode.NONE,
        B: ErrorCode.TRANSACTION_ABORTABLE,
    }


def test_what_is_there_needs_no_record() -> None:
    world = TransactionWorld()
    producer = world.producer()
    world.add(producer, A, B)
    written = len(world.log.records(0))
    assert world.add(producer, B).result() is ErrorCode.NONE
    assert len(world.log.records(0)) == written


def test_nothing_is_open_before_the_first_partition() -> None:
    world = TransactionWorld()
    producer = world.producer()
    assert world.verify(producer, A) == {A: ErrorCode.TRANSACTION_ABORTABLE}


def test_an_id_that_is_not_flushed_is_unknown() -> None:
    world = TransactionWorld(flush_at_once=False)
    world.init()
    assert world.verify((1_000, -1), A) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
