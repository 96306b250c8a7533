from collections.abc import Mapping

from bench.row import FLOOR, Bound, Brokers, Figure, Result, measure, ratios
from bench.system import Durability


class CountingSystem:
    """Counts what is done with it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.bootstrap = ""
        self.pid = -1
        self._log = log

    def start(self, durability: Durability) -> None:
        self._log.append(f"{self.name} starts {durability.value}")

    def prepare(self, port: int) -> None: ...

    def spawn(self) -> None: ...

    def restart(self) -> tuple[float, float]:
        return 0.0, 0.0

    def stop(self) -> None:
        self._log.append(f"{self.name} stops")


class CountingRow:
    name = "1"
    title = "counting"
    figures = (Figure("count", "s"), Figure("only ours", "s"))
    repetitions = 2
    durability: Durability | None = Durability.REPLICATED

    def __init__(self, log: list[str]) -> None:
        self._log = log
        self._count = 0.0

    def prepare(self, system: CountingSystem) -> None:
        self._log.append(f"{system.name} warms up")

    def measure(self, system: CountingSystem) -> Mapping[str, float]:
        self._count += 1
        self._log.append(f"{system.name} {self._count:.0f}")
        return {"count": self._count} | ({"only ours": 7.0} if system.name == "ours" else {})

    def floor(self) -> Mapping[str, float]:
        self._log.append("floor")
        return {"count": 0.5}


def test_repetitions_are_taken_in_turn_after_both_are_warm() -> None:
    log: list[str] = []
    brokers = Brokers([CountingSystem("theirs", log), CountingSystem("ours", log)])
    results = measure(CountingRow(log), brokers)
    brokers.stop()
    assert log == [
        *("theirs starts replicated", "ours starts replicated"),
        *("theirs warms up", "ours warms up"),
        *("theirs 1", "ours 2", "floor", "theirs 3", "ours 4", "floor"),
        *("ours stops", "theirs stops"),
    ]
    assert [(r.figure.name, r.system, r.values) for r in results] == [
        ("count", "theirs", (1.0, 3.0)),
        ("count", "ours", (2.0, 4.0)),
        ("count", FLOOR, (0.5, 0.5)),
        ("only ours", "ours", (7.0, 7.0)),
    ]


def test_brokers_of_one_durability_are_shared_by_the_rows_that_follow_each_other() -> None:
    log: list[str] = []
    brokers = Brokers([CountingSystem("ours", log)])
    brokers.provide(Durability.REPLICATED)
    brokers.provide(Durability.REPLICATED)
    brokers.provide(Durability.FSYNC)
    brokers.provide(None)
    assert log == ["ours starts replicated", "ours stops", "ours starts fsync", "ours stops"]


def test_a_ratio_is_that_of_neighbours() -> None:
    assert ratios((1.0, 6.0), (4.0, 2.0)) == (0.25, 3.0)
    assert ratios((1.0, 6.0), (0.0, 2.0)) == (3.0,)


def test_median_and_spread() -> None:
    result = Result("1", "t", "ours", Figure("f", "s"), (3.0, 1.0, 8.0))
    assert result.median == 3.0
    assert result.spread == (1.0, 8.0)


def test_a_bound_holds_from_above_or_from_below() -> None:
    assert Bound(1.0).met_by(1.0)
    assert not Bound(1.0).met_by(1.1)
    assert Bound(3.0, at_least=True).met_by(3.0)
    assert not Bound(3.0, at_least=True).met_by(2.9)
