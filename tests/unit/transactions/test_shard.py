"""The life of a shard: it goes on with what was decided, and leaves nothing behind."""

from tests.transaction_world import ID, A, TransactionWorld
from tierbroker.wire.error_codes import ErrorCode


def decided_world() -> TransactionWorld:
    """Two hundred transactions whose markers are not written."""
    world = TransactionWorld()
    world.markers.hold = True
    for number in range(200):
        name = f"t{number}"
        producer = world.producer(name)
        world.add(producer, A, transactional_id=name)
        world.end(producer, transactional_id=name, commit=number % 2 == 0)
    return world


def test_all_that_was_decided_is_completed_after_a_restart() -> None:
    world = decided_world()
    world.markers.hold = False
    world.crash()
    outcomes = {pid: commit for _, pid, _, commit in world.outcomes()}
    assert outcomes == {1_000 + number: number % 2 == 0 for number in range(200)}
    assert {row.transaction_state for row in world.listed().transaction_states} == {
        "CompleteCommit",
        "CompleteAbort",
    }


def test_before_it_is_completed_everybody_has_to_wait() -> None:
    world = decided_world()
    world.epoch += 1
    world.coordinator.load(0, world.epoch)
    while not world.coordinator.loaded:
        world.turns.popleft()()
    concurrent = ErrorCode.CONCURRENT_TRANSACTIONS
    assert world.init("t199").result().error_code == concurrent
    assert world.add((1_199, 1), A, transactional_id="t199").result() is concurrent
    again = world.end((1_199, 0), transactional_id="t199", commit=False)
    assert again.result().error_code == concurrent


def test_a_shard_that_is_closed_meanwhile_completes_no_more() -> None:
    world = decided_world()
    world.epoch += 1
    world.coordinator.load(0, world.epoch)
    while not world.coordinator.loaded:
        world.turns.popleft()()
    asked = world.markers.asked
    world.coordinator.unload(0)
    world.run_turns()
    assert world.markers.asked == asked


def test_the_same_epoch_is_not_loaded_twice_and_a_later_one_is() -> None:
    world = TransactionWorld()
    producer = world.producer()
    reads = world.log.reads
    world.coordinator.load(0, world.epoch)
    assert world.coordinator.loaded
    world.coordinator.load(0, world.epoch + 1)
    assert not world.coordinator.loaded
    world.run_turns()
    assert world.log.reads == reads + 1
    assert world.add(producer, A).result() is ErrorCode.NONE


def test_who_waits_for_a_producer_id_is_answered_after_unloading() -> None:
    world = TransactionWorld()
    world.producer_ids.hold = True
    answer = world.init("new")
    world.coordinator.unload(0)
    world.producer_ids.grant()
    assert answer.result().error_code == ErrorCode.NOT_COORDINATOR


def test_after_stop_nothing_is_loaded() -> None:
    world = TransactionWorld()
    world.coordinator.stop()
    world.coordinator.load(0, 9)
    world.coordinator.abort_timed_out()
    world.coordinator.expire_ids()
    world.run_turns()
    assert world.describe(ID).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.listed().error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
