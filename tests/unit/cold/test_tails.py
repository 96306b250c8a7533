"""What is fetched once for all who ask, and kept within a bound."""

from dataclasses import dataclass

import pytest

from tierbroker.base.pending import Pending
from tierbroker.base.story import until
from tierbroker.cold.errors import StoreUnavailableError
from tierbroker.cold.tails import Fetched


@dataclass(frozen=True)
class Value:
    size_bytes: int


class Source:
    """Values that come when the test says so."""

    def __init__(self) -> None:
        self.answers: list[Pending[Value]] = []

    async def fetch(self) -> Value:
        self.answers.append(Pending())
        return await until(self.answers[-1])


def test_one_fetch_serves_all_who_wait_and_goes_on_without_them() -> None:
    cache: Fetched[Value] = Fetched(100)
    source = Source()
    first, second = (cache.fetch((0, 1), source.fetch) for _ in range(2))
    assert len(source.answers) == 1
    first.cancel()
    source.answers[0].resolve(Value(10))
    assert second.result() == cache.get((0, 1)) == Value(10)
    assert cache.fetch((0, 1), source.fetch).result() == Value(10)
    assert len(source.answers) == 1


def test_a_failure_is_told_to_all_and_kept_by_nobody() -> None:
    cache: Fetched[Value] = Fetched(100)
    source = Source()
    waiting = [cache.fetch((0, 1), source.fetch) for _ in range(2)]
    source.answers[0].fail(StoreUnavailableError("down"))
    for pending in waiting:
        with pytest.raises(StoreUnavailableError):
            pending.result()
    again = cache.fetch((0, 1), source.fetch)
    source.answers[1].resolve(Value(1))
    assert again.result() == Value(1)


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: Fetched[Value] = Fetched(30)
    source = Source()
    for number in range(3):
        cache.fetch((0, number), source.fetch)
        source.answers[-1].resolve(Value(10))
    assert cache.get((0, 0)) is not None
    cache.fetch((0, 3), source.fetch)
    source.answers[-1].resolve(Value(10))
    assert [cache.get((0, number)) is not None for number in range(4)] == [True, False, True, True]
    assert cache.size_bytes == 30
    # One that is larger than all is kept alone: its reader would ask for it for ever.
    cache.fetch((0, 4), source.fetch)
    source.answers[-1].resolve(Value(90))
    assert cache.get((0, 4)) == Value(90)
    assert cache.size_bytes == 90
    cache.forget((0, 4))
    assert cache.size_bytes == 0
