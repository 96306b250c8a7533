"""What administrators are shown, and what filters let through."""

import pytest

from tests.transaction_world import A, B, C, TransactionWorld
from tierbroker.transactions.coordinator import LISTED_AT_ONCE
from tierbroker.wire.error_codes import ErrorCode


@pytest.fixture
def world() -> TransactionWorld:
    """`app-1` is open since 5 s, `app-2` since 1 s, `db` is empty, `old` is committed."""
    world = TransactionWorld()
    old = world.producer("old")
    world.add(old, A, transactional_id="old")
    world.end(old, transactional_id="old")
    world.add(world.producer("app-1"), C, A, B, transactional_id="app-1")
    world.advance(4_000)
    world.add(world.producer("app-2"), A, transactional_id="app-2")
    world.producer("db")
    world.advance(1_000)
    return world


def names(world: TransactionWorld, **filters: object) -> list[str]:
    answer = world.listed(**filters)  # type: ignore[arg-type]
    assert answer.error_code == ErrorCode.NONE
    return sorted(row.transactional_id for row in answer.transaction_states)


def test_an_open_transaction(world: TransactionWorld) -> None:
    told = world.describe("app-1")
    assert told.error_code == ErrorCode.NONE
    assert (told.transaction_state, told.transaction_timeout_ms) == ("Ongoing", 60_000)
    assert told.transaction_start_time_ms == world.clock.now_ms() - 5_000
    assert (told.producer_id, told.producer_epoch) == (1_001, 0)
    assert [(topic.topic, topic.partitions) for topic in told.topics] == [("a", [0]), ("b", [0, 1])]


def test_ids_that_are_not_there(world: TransactionWorld) -> None:
    named, unknown, empty = world.coordinator.describe(["db", "nobody", "", "db"])
    assert (named.transactional_id, named.transaction_state) == ("db", "Empty")
    assert unknown.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert empty.error_code == ErrorCode.INVALID_REQUEST


def test_an_id_whose_first_record_is_not_flushed_is_not_there() -> None:
    world = TransactionWorld(flush_at_once=False)
    world.init()
    assert world.describe().error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert world.listed().transaction_states == []


def test_all_are_listed(world: TransactionWorld) -> None:
    rows = world.listed().transaction_states
    assert {(row.transactional_id, row.producer_id, row.transaction_state) for row in rows} == {
        ("app-1", 1_001, "Ongoing"),
        ("app-2", 1_002, "Ongoing"),
        ("db", 1_003, "Empty"),
        ("old", 1_000, "CompleteCommit"),
    }


def test_filters(world: TransactionWorld) -> None:
    assert names(world, states=["Ongoing"]) == ["app-1", "app-2"]
    assert names(world, states=["Empty", "CompleteCommit"]) == ["db", "old"]
    assert names(world, producer_ids=[1_000, 1_003, 5]) == ["db", "old"]
    assert names(world, states=["Ongoing"], longer_than_ms=1_000) == ["app-1"]
    assert names(world, states=["Ongoing"], longer_than_ms=999) == ["app-1", "app-2"]
    assert names(world, pattern="app-.") == ["app-1", "app-2"]
    assert names(world, pattern="app") == []
    assert names(world, pattern="") == ["app-1", "app-2", "db", "old"]


def test_ids_without_a_transaction_count_as_old_as_in_kafka(world: TransactionWorld) -> None:
    assert "db" in names(world, longer_than_ms=1_000)


def test_states_that_are_none_are_named(world: TransactionWorld) -> None:
    answer = world.listed(states=["Ongoing", "ongoing", "Nonsense"])
    assert answer.unknown_state_filters == ["ongoing", "Nonsense"]
    assert len(answer.transaction_states) == 2
    assert world.listed(states=["Nonsense"]).transaction_states == []


def test_a_pattern_that_is_none(world: TransactionWorld) -> None:
    answer = world.listed(pattern="(")
    assert answer.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION
    assert answer.transaction_states == []


def test_many_are_listed_over_several_turns() -> None:
    world = TransactionWorld()
    count = LISTED_AT_ONCE + 1
    for number in range(count):
        world.producer(f"t{number}")
    assert len(world.listed().transaction_states) == count
