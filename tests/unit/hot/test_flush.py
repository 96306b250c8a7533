"""Group commit: what one flush covers, what waits for the next, and what a failed disk does."""

import errno
from collections.abc import Callable, Sequence

import pytest

from tierbroker.base.executor import InlineExecutor, ManualExecutor
from tierbroker.hot.flush import FlushTarget, GroupFlusher

EIO = OSError(errno.EIO, "Input/output error")


class FakeLease:
    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        self.released += 1


class FakeLog:
    def __init__(self, directory: str = "/data/topic-0") -> None:
        self.dir = directory
        self.end_offset = 0
        self.flushed_offset = 0
        self.leases: list[FakeLease] = []

    def append(self, records: int = 1) -> None:
        self.end_offset += records

    def dirty_files(self) -> FlushTarget:
        lease = FakeLease()
        self.leases.append(lease)
        return FlushTarget(self, (1,), (), self.end_offset, (lease,))

    def mark_flushed(self, offset: int) -> None:
        self.flushed_offset = offset


class FakeStrategy:
    def __init__(self) -> None:
        self.flushed: list[list[int]] = []
        self.error: Exception | None = None

    def flush(self, targets: Sequence[FlushTarget]) -> None:
        self.flushed.append([target.end_offset for target in targets])
        if self.error is not None:
            raise self.error

    def close(self) -> None: ...


class Setup:
    def __init__(self, defer: Callable[[Callable[[], None]], object] | None = None) -> None:
        self.executor = ManualExecutor()
        self.strategy = FakeStrategy()
        self.failures: list[tuple[str, OSError]] = []
        self.flusher = GroupFlusher(
            self.strategy,
            self.executor,
            lambda directory, error: self.failures.append((directory, error)),
            defer,
        )
        self.answers: list[tuple[str, OSError | None]] = []

    def request(self, log: FakeLog, name: str) -> None:
        self.flusher.request(log, lambda error: self.answers.append((name, error)))


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_a_flush_covers_what_was_appended_when_it_started(setup: Setup) -> None:
    log = FakeLog()
    log.append(3)
    setup.request(log, "first")
    log.append(2)
    assert log.flushed_offset == 0
    setup.executor.run_all()
    assert log.flushed_offset == 3
    assert setup.answers == [("first", None)]
    assert setup.flusher.idle


def test_requests_during_a_flush_share_the_next(setup: Setup) -> None:
    one, two = FakeLog("/data/a-0"), FakeLog("/data/b-0")
    one.append()
    setup.request(one, "a1")
    for name in ("a2", "a3"):
        one.append()
        setup.request(one, name)
    two.append()
    setup.request(two, "b1")
    assert len(setup.executor) == 1
    setup.executor.run_one()
    assert setup.answers == [("a1", None)]
    assert not setup.flusher.idle
    setup.executor.run_all()
    assert setup.strategy.flushed == [[1], [3, 1]]
    assert setup.answers[1:] == [("a2", None), ("a3", None), ("b1", None)]
    assert (one.flushed_offset, two.flushed_offset) == (3, 1)


def test_the_next_flush_is_under_way_when_callbacks_run(setup: Setup) -> None:
    log = FakeLog()
    log.append()
    under_way: list[int] = []
    setup.flusher.request(log, lambda _: under_way.append(len(setup.executor)))
    setup.flusher.request(log)
    setup.executor.run_one()
    assert under_way == [1]


def test_a_request_from_a_callback_is_served(setup: Setup) -> None:
    log = FakeLog()
    setup.flusher.request(log, lambda _: setup.request(log, "again"))
    setup.executor.run_all()
    assert setup.answers == [("again", None)]


def test_inline_executor_answers_within_the_request() -> None:
    answers: list[OSError | None] = []
    flusher = GroupFlusher(FakeStrategy(), InlineExecutor(), lambda *_: None)
    flusher.request(FakeLog(), answers.append)
    flusher.request(FakeLog(), answers.append)
    assert answers == [None, None]


def test_deferred_start_groups_one_turn_of_the_loop() -> None:
    turn: list[Callable[[], None]] = []
    setup = Setup(defer=turn.append)
    log = FakeLog()
    for name in ("one", "two"):
        log.append()
        setup.request(log, name)
    assert (len(turn), len(setup.executor)) == (1, 0)
    turn.pop()()
    setup.executor.run_all()
    assert setup.strategy.flushed == [[2]]


def test_descriptors_are_leased_until_the_flush_ended(setup: Setup) -> None:
    log = FakeLog()
    setup.request(log, "first")
    assert log.leases[0].released == 0
    setup.executor.run_all()
    assert [lease.released for lease in log.leases] == [1]


def test_failure_takes_the_directory_offline_once_and_is_not_repeated(setup: Setup) -> None:
    log = FakeLog()
    log.append()
    setup.request(log, "in flight")
    setup.request(log, "waiting")
    setup.strategy.error = EIO
    setup.executor.run_all()
    assert sorted(setup.answers) == [("in flight", EIO), ("waiting", EIO)]
    assert setup.failures == [("/data", EIO)]
    assert log.flushed_offset == 0
    assert [lease.released for lease in log.leases] == [1]
    setup.strategy.error = None
    setup.request(log, "later")
    assert setup.answers[-1] == ("later", EIO)
    assert len(setup.strategy.flushed) == 1
    assert setup.flusher.idle


def test_other_directories_go_on_after_a_failure(setup: Setup) -> None:
    broken, sound = FakeLog("/disk1/a-0"), FakeLog("/disk2/a-0")
    setup.strategy.error = EIO
    setup.request(broken, "broken")
    setup.executor.run_all()
    setup.strategy.error = None
    sound.append()
    setup.request(sound, "sound")
    setup.executor.run_all()
    assert setup.answers == [("broken", EIO), ("sound", None)]
    assert sound.flushed_offset == 1


def test_directories_flush_side_by_side(setup: Setup) -> None:
    setup.request(FakeLog("/disk1/a-0"), "one")
    setup.request(FakeLog("/disk2/a-0"), "two")
    assert len(setup.executor) == 2
    setup.executor.run_all()
    assert setup.answers == [("one", None), ("two", None)]


def test_directory_that_failed_elsewhere_fails_the_flush_in_flight(setup: Setup) -> None:
    log = FakeLog()
    log.append()
    setup.request(log, "in flight")
    setup.request(log, "waiting")
    setup.flusher.fail("/data", EIO)
    assert setup.answers == [("waiting", EIO)]
    setup.executor.run_all()
    assert setup.answers == [("waiting", EIO), ("in flight", EIO)]
    assert log.flushed_offset == 0
    assert setup.failures == []


def test_a_bug_in_a_strategy_is_not_taken_for_a_disk_error(setup: Setup) -> None:
    setup.strategy.error = ValueError("no such device")
    setup.request(FakeLog(), "never")
    with pytest.raises(ValueError, match="no such device"):
        setup.executor.run_all()
    assert setup.failures == []


def refuse(name: str) -> Callable[[OSError | None], None]:
    def callback(_: OSError | None) -> None:
        raise LookupError(name)

    return callback


def test_every_callback_hears_though_one_raises() -> None:
    turns: list[Callable[[], None]] = []
    setup = Setup(turns.append)
    first, second = FakeLog("/data/a-0"), FakeLog("/data/b-0")
    setup.flusher.request(first, refuse("the first"))
    setup.request(first, "same log")
    setup.flusher.request(second, refuse("the second"))
    setup.request(second, "other log")
    turns.pop()()
    with pytest.raises(LookupError, match="the first"):
        setup.executor.run_all()
    assert setup.answers == [("same log", None), ("other log", None)]
    setup.request(first, "later")
    turns.pop()()
    setup.executor.run_all()
    assert setup.answers[-1] == ("later", None)
    assert setup.flusher.idle


def test_everybody_hears_of_a_failed_disk_though_one_raises() -> None:
    executor, strategy = ManualExecutor(), FakeStrategy()
    heard: list[tuple[str, OSError | None]] = []

    def refuse_disk(directory: str, error: OSError) -> None:
        heard.append((directory, error))
        raise LookupError("the directory")

    turns: list[Callable[[], None]] = []
    flusher = GroupFlusher(strategy, executor, refuse_disk, turns.append)
    log = FakeLog()

    def request(name: str) -> None:
        flusher.request(log, refuse(name))
        flusher.request(log, lambda error: heard.append((name, error)))

    request("in flight")
    turns.pop()()
    request("waiting")
    strategy.error = EIO
    with pytest.raises(LookupError, match="the directory"):
        executor.run_all()
    assert heard == [("/data", EIO), ("waiting", EIO), ("in flight", EIO)]
    assert flusher.has_failed(log)
    assert flusher.idle
