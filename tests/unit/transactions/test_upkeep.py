"""Timeouts and expiry, over many ids, in slices."""

from tests.transaction_world import A, TransactionWorld
from tierbroker.transactions.config import TransactionConfig
from tierbroker.transactions.record_codec import transaction_key, transaction_value
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.upkeep import TOMBSTONES_PER_BATCH, WITHOUT_TIMEOUT_MS
from tierbroker.transactions.values import TransactionValues
from tierbroker.wire.error_codes import ErrorCode

CONFIG = TransactionConfig(partitions=1, id_expiration_ms=1_000)


def test_all_that_timed_out_are_aborted() -> None:
    world = TransactionWorld(CONFIG)
    for number in range(600):
        name = f"t{number}"
        world.add(world.producer(name), A, transactional_id=name)
    world.advance(60_001)
    world.coordinator.abort_timed_out()
    world.coordinator.abort_timed_out()
    world.run_turns()
    assert len(world.markers.written) == 600
    assert world.state("t599") == "CompleteAbort"


def test_a_transaction_of_two_phase_commit_never_times_out() -> None:
    world = TransactionWorld(CONFIG, load=False)
    values = TransactionValues(
        7,
        0,
        WITHOUT_TIMEOUT_MS,
        TransactionState.ONGOING,
        frozenset((A,)),
        start_ms=0,
        update_ms=0,
    )
    world.log.append(0, [(transaction_key("t"), transaction_value(values, 2))], lambda _: None)
    world.load()
    world.coordinator.abort_timed_out()
    world.run_turns()
    assert world.state() == "Ongoing"


def test_expired_ids_go_in_batches() -> None:
    world = TransactionWorld(CONFIG)
    count = TOMBSTONES_PER_BATCH * 2 + 10
    for number in range(count):
        world.producer(f"t{number}")
    before = len(world.log.batches(0))
    world.advance(1_000)
    world.coordinator.expire_ids()
    world.run_turns()
    assert len(world.log.batches(0)) == before + 3
    assert world.listed().transaction_states == []


def test_an_id_that_is_used_again_while_others_are_looked_at_stays() -> None:
    world = TransactionWorld(CONFIG)
    world.producer("a")
    world.advance(1_000)
    world.coordinator.expire_ids()
    world.producer("a")
    world.run_turns()
    assert world.describe("a").error_code == ErrorCode.NONE


def test_a_shard_that_is_gone_is_left_alone() -> None:
    world = TransactionWorld(CONFIG)
    world.producer("a")
    world.advance(1_000)
    before = len(world.log.batches(0))
    world.coordinator.expire_ids()
    world.coordinator.abort_timed_out()
    world.coordinator.unload(0)
    world.run_turns()
    assert len(world.log.batches(0)) == before
