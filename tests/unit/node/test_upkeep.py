"""Upkeep's decisions, on logs that only say what they are asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.ids import TopicPartition
from tierbroker.hot.config import FlushMode
from tierbroker.node import upkeep
from tierbroker.node.upkeep import NEVER_MS, Chore, Upkeep


@dataclass
class FakeConfig:
    flush_mode: FlushMode = FlushMode.REPLICATED
    flush_ms: int = NEVER_MS


@dataclass
class FakeSegments:
    active: "FakeSegments | None" = None
    base_offset: int = 0

    def __post_init__(self) -> None:
        self.active = self.active or self


@dataclass
class FakeProducers:
    expired_at: list[int] = field(default_factory=list)

    def expire(self, now_ms: int) -> list[int]:
        self.expired_at.append(now_ms)
        return []


@dataclass(eq=False)
class FakeLog:
    config: FakeConfig = field(default_factory=FakeConfig)
    offline: bool = False
    has_unflushed: bool = True
    flushed_offset: int = 0
    log_start_offset: int = 0
    segments: FakeSegments = field(default_factory=FakeSegments)
    producer_state: FakeProducers = field(default_factory=FakeProducers)
    topic_partition: TopicPartition = field(default_factory=lambda: TopicPartition("t", 0))


class FakeLogs(list):
    """A log manager that counts what it is asked to do."""

    def __init__(self, logs: list[FakeLog]) -> None:
        super().__init__(logs)
        self.ticks = 0
        self.checkpoints = 0
        self.retention_limits: list[int] = []

    def tick(self, now_ms: int) -> None:
        self.ticks += 1

    def checkpoint(self) -> None:
        self.checkpoints += 1

    def checkpoint_high_watermarks(self, high_watermark) -> None:
        pass

    def apply_retention(self, now_ms: int, limit_of):
        for log in self:
            self.retention_limits.append(limit_of(log))
            yield 2


class FakeFlusher:
    def __init__(self) -> None:
        self.requested: list[FakeLog] = []

    def request(self, log: FakeLog) -> None:
        self.requested.append(log)


class NoPartitions:
    def make_missing_logs(self) -> None:
        """None is missing."""

    def find(self, place: TopicPartition) -> None:
        return None


def upkeep_of(
    logs: FakeLogs,
    flusher: FakeFlusher,
    every_s: float = 1000.0,
    chores: Sequence[Chore] = (),
) -> Upkeep:
    return Upkeep(
        logs,  # type: ignore[arg-type]
        NoPartitions(),  # type: ignore[arg-type]
        flusher,  # type: ignore[arg-type]
        ManualClock(),
        retention_every_s=every_s,
        chores=chores,
    )


async def run_turns(subject: Upkeep, turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the task for so many turns, without waiting for the seconds between them."""
    slept = 0

    async def sleep(seconds: float) -> None:
        nonlocal slept
        if seconds == upkeep.TURN_S:
            slept += 1
            if slept > turns:
                raise asyncio.CancelledError

    monkeypatch.setattr(upkeep.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await subject.run()


@pytest.mark.parametrize(
    ("log", "due"),
    [
        (FakeLog(), False),
        (FakeLog(segments=FakeSegments(base_offset=5)), True),
        (FakeLog(segments=FakeSegments(base_offset=5), has_unflushed=False), False),
        (FakeLog(segments=FakeSegments(base_offset=5), offline=True), False),
        (FakeLog(FakeConfig(flush_ms=1000)), True),
        (FakeLog(FakeConfig(FlushMode.FSYNC, 1000), segments=FakeSegments(base_offset=5)), False),
        (FakeLog(FakeConfig(FlushMode.NONE, 1000), segments=FakeSegments(base_offset=5)), False),
    ],
)
async def test_a_flush_is_due_for_rolled_segments_and_flush_ms(
    log: FakeLog, due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher = FakeFlusher()
    await run_turns(upkeep_of(FakeLogs([log]), flusher), 1, monkeypatch)
    assert flusher.requested == ([log] if due else [])


async def test_every_turn_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = FakeLogs([FakeLog()])
    await run_turns(upkeep_of(logs, FakeFlusher()), 3, monkeypatch)
    assert (logs.ticks, logs.checkpoints) == (3, 3)
    assert logs.retention_limits == []


async def test_producers_are_looked_at_every_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = FakeLog()
    await run_turns(upkeep_of(FakeLogs([log]), FakeFlusher()), 1200, monkeypatch)
    assert len(log.producer_state.expired_at) == 2


async def test_retention_stops_at_the_log_start_of_an_unknown_partition() -> None:
    logs = FakeLogs([FakeLog(log_start_offset=7), FakeLog()])
    assert await upkeep_of(logs, FakeFlusher()).apply_retention() == 4
    assert logs.retention_limits == [7, 0]


@pytest.mark.parametrize(("every_s", "times"), [(0.0, 3), (1000.0, 0)])
async def test_chores_are_done_when_they_are_due(
    every_s: float, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    chores = [Chore(every_s, lambda: done.append("a")), Chore(1000.0, lambda: done.append("b"))]
    await run_turns(upkeep_of(FakeLogs([]), FakeFlusher(), chores=chores), 3, monkeypatch)
    assert done == ["a"] * times
