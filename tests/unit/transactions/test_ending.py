"""What happens while a decision, or the next producer id, is awaited. See the transcripts too."""

from tests.transaction_world import ID, A, TransactionWorld
from tierbroker.transactions.record_codec import transaction_key, transaction_value
from tierbroker.transactions.values import MAX_EPOCH, TransactionValues
from tierbroker.wire.error_codes import ErrorCode


def worn_world() -> tuple[TransactionWorld, tuple[int, int]]:
    """A producer in a transaction with the last epoch that it can have."""
    world = TransactionWorld(load=False)
    values = TransactionValues(7, MAX_EPOCH - 2, 60_000, update_ms=0)
    world.log.append(0, [(transaction_key(ID), transaction_value(values, 2))], lambda _: None)
    world.load()
    producer = world.producer()
    assert producer == (7, MAX_EPOCH - 1)
    world.add(producer, A)
    return world, producer


def test_the_request_is_looked_at_again_when_the_next_id_is_there() -> None:
    world, producer = worn_world()
    world.producer_ids.hold = True
    first = world.end(producer)
    second = world.end(producer, commit=False)
    world.producer_ids.grant()
    assert (first.result().producer_id, first.result().producer_epoch) == (1_000, 0)
    # By then the transaction is committed under the new id.
    assert second.result().error_code == ErrorCode.INVALID_TXN_STATE
    assert [commit for *_, commit in world.outcomes()] == [True]


def test_a_partition_that_is_gone_meanwhile_decides_nothing() -> None:
    world, producer = worn_world()
    world.producer_ids.hold = True
    ended, fenced = world.end(producer), world.init()
    written = len(world.log.records(0))
    world.coordinator.unload(0)
    world.producer_ids.grant()
    assert ended.result().error_code == ErrorCode.NOT_COORDINATOR
    assert fenced.result().error_code == ErrorCode.NOT_COORDINATOR
    assert len(world.log.records(0)) == written


def test_the_old_protocol_needs_no_next_id() -> None:
    world, producer = worn_world()
    world.producer_ids.hold = True
    assert world.end(producer, version=3).result().error_code == ErrorCode.NONE
    assert world.describe().producer_epoch == MAX_EPOCH - 1


def test_a_repeated_request_while_the_decision_is_written_has_to_wait() -> None:
    world = TransactionWorld(flush_at_once=False)
    world.init()
    world.log.flush()
    world.add((1_000, 0), A)
    world.log.flush()
    first = world.end((1_000, 0))
    again = world.end((1_000, 0))
    assert again.result().error_code == ErrorCode.CONCURRENT_TRANSACTIONS
    assert not first.done
