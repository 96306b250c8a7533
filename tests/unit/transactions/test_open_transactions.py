"""How many transactions are open, and since when the oldest: without looking at all of them."""

import random
from dataclasses import replace
from typing import Never

from tests.transaction_world import A, B, TransactionWorld
from tierbroker.transactions.ledger import Transaction
from tierbroker.transactions.open_transactions import OpenTransactions
from tierbroker.transactions.state import TransactionState
from tierbroker.transactions.values import TransactionValues

EMPTY = TransactionValues(7, 0, 1_000)


def begun(start_ms: int) -> TransactionValues:
    return replace(EMPTY, state=TransactionState.ONGOING, start_ms=start_ms)


def ended(start_ms: int) -> TransactionValues:
    return replace(EMPTY, state=TransactionState.PREPARE_COMMIT, start_ms=start_ms)


def told(found: OpenTransactions) -> tuple[int, int | None]:
    return len(found), found.oldest_start_ms


def test_the_oldest_that_is_open() -> None:
    found = OpenTransactions()
    assert told(found) == (0, None)
    found.update("t", EMPTY)
    assert told(found) == (0, None)
    found.update("t", begun(50))
    found.update("u", begun(40))
    assert told(found) == (2, 40)
    found.update("u", begun(40))
    assert told(found) == (2, 40)
    found.update("u", ended(40))
    assert told(found) == (1, 50)
    found.update("u", begun(60))
    assert told(found) == (2, 50)
    found.update("t", None)
    found.update("t", None)
    assert told(found) == (1, 60)


def test_whatever_happens_it_is_what_a_walk_finds() -> None:
    rng = random.Random(4)
    found = OpenTransactions()
    known: dict[str, TransactionValues | None] = {}
    for _ in range(20_000):
        name = f"id-{rng.randrange(40)}"
        make = rng.choice((begun, begun, begun, ended, lambda _: None))
        known[name] = make(rng.randrange(1_000))
        found.update(name, known[name])
        starts = [
            each.start_ms
            for each in known.values()
            if each is not None and each.state is TransactionState.ONGOING
        ]
        assert told(found) == (len(starts), min(starts, default=None))


def test_a_long_transaction_keeps_no_trace_of_those_that_have_ended_since() -> None:
    found = OpenTransactions()
    found.update("long", begun(0))
    for number in range(1_000):
        found.update("short", begun(1 + number))
        found.update("short", ended(1 + number))
    assert told(found) == (1, 0)
    assert len(found._heap) < 100


class Unwalked(dict[str, Transaction]):
    """Transactional ids of which there are too many to look at each."""

    def values(self) -> Never:  # type: ignore[override]
        raise AssertionError("somebody walks over all transactional ids")

    __iter__ = items = values


def test_totals_are_told_without_a_walk() -> None:
    world = TransactionWorld()
    world.add(world.producer("t"), A, transactional_id="t")
    world.clock.advance(300)
    producer = world.producer("u")
    world.add(producer, A, B, transactional_id="u")
    world.producer("v")
    world.clock.advance(700)
    (shard,) = world.coordinator._shards.values()
    shard.ledger.transactions = Unwalked(shard.ledger.transactions)
    assert world.coordinator.totals() == (3, 2, 1_000)
    world.end(producer, transactional_id="u")
    assert world.coordinator.totals() == (3, 1, 1_000)
