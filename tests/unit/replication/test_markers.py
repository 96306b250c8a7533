"""The last stable offset of a partition with a real log, flushed when the test says so."""

import pathlib
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.log_setup import NOW_MS, TOPIC_ID, TOPIC_PARTITION, LogSetup, make_batch
from tierbroker.base.errors import ApiError
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.replication.markers import append_marker
from tierbroker.replication.partition import ACKS_ALL, Appender, Partition


class Flusher:
    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def request(self, log: Any, callback: Any) -> None:
        self.waiting.append(callback)

    def flush(self, log: Any) -> None:
        log.flush()
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback(None)


class World:
    def __init__(self, folder: str) -> None:
        self.setup = LogSetup(folder)
        self.setup.values["flush.mode"] = "fsync"
        self.scheduler = ManualScheduler()
        self.flusher = Flusher()
        self.log = self.setup.open()
        self.partition = self.lead()
        self.results: list[object] = []

    def lead(self) -> Partition:
        partition = Partition(
            TOPIC_PARTITION,
            TOPIC_ID,
            self.log,
            Appender(self.scheduler),
            cast("Any", self.flusher),
        )
        partition.become_leader(0)
        return partition

    def write(self, producer_id: int) -> None:
        known = self.log.producer_state.get(producer_id)
        sequence = 0 if known is None else known.last_sequence + 1
        batch, header = make_batch(producer_id=producer_id, sequence=sequence, transactional=True)
        self.partition.append(batch, header, ACKS_ALL, self.results.append)
        self.scheduler.end_turn()

    def plain(self) -> None:
        batch, header = make_batch()
        self.partition.append(batch, header, ACKS_ALL, self.results.append)
        self.scheduler.end_turn()

    def end(self, producer_id: int, commit: bool = False) -> None:
        append_marker(
            self.partition,
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            transaction_version=0,
            now_ms=NOW_MS,
            done=self.results.append,
        )
        self.scheduler.end_turn()

    def flush(self) -> None:
        self.flusher.flush(self.log)

    @property
    def offsets(self) -> tuple[int, int]:
        return self.partition.last_stable_offset, self.partition.high_watermark


@pytest.fixture
def world(tmp_path: pathlib.Path) -> World:
    return World(str(tmp_path / "t-0"))


def test_a_transaction_is_decided_when_its_marker_is_visible(world: World) -> None:
    world.plain()
    world.write(1)
    assert world.offsets == (0, 0)
    world.flush()
    assert world.offsets == (1, 2)
    world.end(1)
    assert world.offsets == (1, 2)
    assert len(world.results) == 2
    world.flush()
    assert world.offsets == (3, 3)
    assert world.results[2] is None


def test_the_earliest_open_one_holds_up_the_others(world: World) -> None:
    world.write(1)
    world.write(2)
    world.end(2, commit=True)
    world.flush()
    assert world.offsets == (0, 3)
    world.write(2)
    world.end(1)
    world.flush()
    assert world.offsets == (3, 5)


def test_an_open_transaction_survives_a_restart(world: World) -> None:
    world.plain()
    world.write(1)
    world.plain()
    world.flush()
    world.log.close()
    world.log = world.setup.open(clean=True, recovery_point=3)
    world.partition = world.lead()
    assert world.offsets == (1, 3)
    world.end(1)
    world.flush()
    assert world.offsets == (4, 4)


def test_a_marker_needs_a_leader(world: World) -> None:
    world.partition.retire()
    world.end(1)
    (error,) = world.results
    assert isinstance(error, ApiError)


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "end", "plain", "flush"]), st.integers(1, 3)), max_size=40
)


@given(steps=STEPS)
@settings(max_examples=80, deadline=None)
def test_the_last_stable_offset_is_that_of_a_plain_model(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(str(tmp_path_factory.mktemp("log") / "t-0"))
    opened: dict[int, int] = {}
    undecided: list[tuple[int, int]] = []  # (first offset, marker)
    before = 0
    for kind, producer_id in steps:
        end_offset = world.log.log_end_offset
        if kind == "write":
            opened.setdefault(producer_id, end_offset)
            world.write(producer_id)
        elif kind == "end":
            if producer_id in opened:
                undecided.append((opened.pop(producer_id), end_offset))
            world.end(producer_id)
        elif kind == "plain":
            world.plain()
        else:
            world.flush()
        stable, high_watermark = world.offsets
        firsts = [first for first, marker in undecided if marker >= high_watermark]
        assert stable == min([high_watermark, *opened.values(), *firsts])
        assert stable >= before
        before = stable
    world.log.close(clean=False)
