import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import ManualExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.pending import Pending
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectDamagedError,
    StoreError,
    StoreUnavailableError,
)
from tierbroker.cold.ports import ObjectFacts
from tierbroker.cold.stores.memory import MemoryStore
from tierbroker.cold.stores.request_counts import RequestCounts
from tierbroker.cold.watched_store import Operation, Outcome, WatchedStore


class FailingStore(MemoryStore):
    """Answers `head` with what it is told."""

    error: StoreError | None = None

    def head(self, key: str) -> Pending[ObjectFacts]:
        if self.error is None:
            return super().head(key)
        failed: Pending[ObjectFacts] = Pending()
        failed.fail(self.error)
        return failed


@pytest.fixture
def executor() -> ManualExecutor:
    return ManualExecutor()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ms=1000)


@pytest.fixture
def inner(executor: ManualExecutor, clock: ManualClock) -> FailingStore:
    return FailingStore(executor, OsFileSystem(), clock)


@pytest.fixture
def store(inner: FailingStore, clock: ManualClock) -> WatchedStore:
    return WatchedStore(inner, clock)


def test_what_is_asked_is_counted_by_kind_and_outcome(
    store: WatchedStore, executor: ManualExecutor
) -> None:
    stored = store.put("a", [b"123", b"45"], if_absent=True)
    again = store.put("a", [b"1"], if_absent=True)
    part = store.get_range("a", 1, 3)
    missing = store.get_range("b", 0, 1)
    store.head("a")
    store.list("")
    store.delete("a")
    executor.run_all()
    assert stored.result().size_bytes == 5
    assert bytes(part.result()) == b"234"
    assert again.error is not None
    assert missing.error is not None
    assert store.watch.counts == {
        (Operation.PUT, Outcome.OK): 1,
        (Operation.PUT, Outcome.PRECONDITION_FAILED): 1,
        (Operation.GET, Outcome.OK): 1,
        (Operation.GET, Outcome.NOT_FOUND): 1,
        (Operation.HEAD, Outcome.OK): 1,
        (Operation.LIST, Outcome.OK): 1,
        (Operation.DELETE, Outcome.OK): 1,
    }
    assert store.watch.count(Operation.GET) == 2
    assert (store.watch.bytes_uploaded, store.watch.bytes_downloaded) == (5, 3)
    assert store.watch.error is None


def test_what_is_for_a_topic_is_counted_for_it(
    store: WatchedStore, executor: ManualExecutor
) -> None:
    store.put("cluster/incarnation/topic/0/name.seg", [b"12345"])
    store.get_range("cluster/incarnation/topic/0/name.seg", 0, 2)
    store.get_range("cluster/incarnation/topic/1/none.seg", 0, 9)
    store.put("cluster/incarnation/checkpoints/1.ckpt", [b"1"])
    store.put("head", [b"1"])
    executor.run_all()
    (topic_id,) = store.watch.topics
    traffic = store.watch.topics[topic_id]
    assert topic_id == "topic"
    assert traffic.requests == {Operation.PUT: 1, Operation.GET: 2}
    assert (traffic.bytes_uploaded, traffic.bytes_downloaded) == (5, 2)
    assert store.watch.bytes_uploaded == 7


def test_a_store_that_sends_more_than_it_is_asked_counts_itself(
    store: WatchedStore, inner: FailingStore, executor: ManualExecutor
) -> None:
    store.put("a", [b"1"])
    executor.run_all()
    assert store.requests()[Operation.PUT] == 1
    inner.counts = RequestCounts(puts=9, heads=2)  # type: ignore[attr-defined]
    assert store.requests() == {
        Operation.PUT: 9,
        Operation.GET: 0,
        Operation.HEAD: 2,
        Operation.DELETE: 0,
        Operation.LIST: 0,
    }


def test_it_is_known_since_when_a_store_is_down(
    store: WatchedStore, inner: FailingStore, executor: ManualExecutor, clock: ManualClock
) -> None:
    watch = store.watch
    assert watch.state == "unknown"
    inner.error = StoreUnavailableError("no route")
    store.head("a")
    clock.advance(500)
    inner.error = StoreUnavailableError("still no route")
    store.head("a")
    assert (watch.state, watch.down_since_ms) == ("down", 1000)
    assert (watch.error, watch.error_ms) == ("still no route", 1500)
    inner.error = None
    store.head("a")
    executor.run_all()
    assert (watch.state, watch.down_since_ms) == ("up", None)
    assert watch.error == "still no route"


def test_damage_is_an_answer_and_a_broken_disk_here_is_none(
    store: WatchedStore, inner: FailingStore
) -> None:
    inner.error = BodyUnreadableError("disk")
    store.head("a")
    assert store.watch.state == "unknown"
    inner.error = ObjectDamagedError("short")
    store.head("a")
    assert store.watch.state == "up"
    assert store.watch.counts == {(Operation.HEAD, Outcome.ERROR): 2}
