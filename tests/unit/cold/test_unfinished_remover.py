"""What of a store's unfinished uploads is removed."""

import logging
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import Uuid
from tierbroker.base.pending import Pending
from tierbroker.base.story import Stories, tell
from tierbroker.cold.errors import StoreError, StoreRefusedError, StoreUnavailableError
from tierbroker.cold.keys import incarnation_prefix
from tierbroker.cold.stores.memory import MemoryStore
from tierbroker.cold.stores.unfinished import UnfinishedUpload
from tierbroker.cold.unfinished_remover import UnfinishedRemover

OLD, OWN, FOREIGN = (Uuid(bytes([number]) * 16) for number in (1, 2, 3))
LEDGER = SimpleNamespace(state=SimpleNamespace(incarnations=(OLD, OWN)))
HOUR_MS = 3_600_000


class Store(MemoryStore):
    """Has unfinished uploads."""

    def __init__(self, left: Sequence[UnfinishedUpload], error: StoreError | None = None) -> None:
        super().__init__(
            InlineExecutor(), OsFileSystem(), ManualClock(), url="s3://bucket/some/prefix"
        )
        self.left = list(left)
        self.error = error

    def unfinished(self, older_than_ms: int) -> Pending[Sequence[UnfinishedUpload]]:
        assert older_than_ms == HOUR_MS
        pending: Pending[Sequence[UnfinishedUpload]] = Pending()
        if self.error is not None:
            pending.fail(self.error)
        else:
            pending.resolve(self.left)
        return pending

    def remove_unfinished(self, uploads: Sequence[UnfinishedUpload]) -> Pending[None]:
        self.left = [left for left in self.left if left not in uploads]
        pending: Pending[None] = Pending()
        pending.resolve(None)
        return pending


def left(incarnation: Uuid, cluster_id: str = "cluster") -> UnfinishedUpload:
    key = f"{incarnation_prefix(cluster_id, incarnation)}topic/0/0-9.0.1.seg"
    return UnfinishedUpload(key, "upload", 0)


def remover(store: MemoryStore, clock: ManualClock | None = None) -> UnfinishedRemover:
    def fail(error: BaseException, name: str) -> None:
        raise AssertionError(name) from error

    return UnfinishedRemover(
        store,
        LEDGER,
        Stories(fail),
        cluster_id="cluster",
        older_than_ms=HOUR_MS,
        clock=clock or ManualClock(),
    )


def test_it_looks_at_the_start_and_then_seldom() -> None:
    clock = ManualClock()
    store = Store([left(OWN)])
    removing = remover(store, clock)
    removing.tick()
    assert store.left == []
    store.left = [left(OWN)]
    clock.advance(HOUR_MS // 4 - 1)
    removing.tick()
    assert store.left
    clock.advance(1)
    removing.tick()
    assert store.left == []


def test_own_ones_go_and_others_stay() -> None:
    others = [left(FOREIGN), left(OWN, "other"), UnfinishedUpload("elsewhere", "upload", 0)]
    store = Store([left(OWN), left(OLD), *others])
    removing = remover(store)
    tell(removing.remove()).result()
    assert store.left == others
    assert removing.removed == 2


def test_files_of_a_directory_go() -> None:
    store = Store([UnfinishedUpload("123-456-1", "", 0)])
    tell(remover(store).remove()).result()
    assert store.left == []


def test_a_store_that_leaves_none_is_not_asked() -> None:
    store = MemoryStore(InlineExecutor(), OsFileSystem(), ManualClock())
    tell(remover(store).remove()).result()


def test_a_store_that_refuses_names_the_rule_once(caplog: pytest.LogCaptureFixture) -> None:
    removing = remover(Store([], StoreRefusedError("AccessDenied")))
    for _ in range(3):
        tell(removing.remove()).result()
    (said,) = caplog.records
    assert '"Prefix": "some/prefix/cluster/"' in said.getMessage()
    assert "AbortIncompleteMultipartUpload" in said.getMessage()


def test_a_store_that_is_down_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    store = Store([left(OWN)], StoreUnavailableError("down"))
    removing = remover(store)
    tell(removing.remove()).result()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    store.error = None
    tell(removing.remove()).result()
    assert store.left == []
