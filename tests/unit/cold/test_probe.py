"""What is found out about stores that do less than they should."""

import random

import pytest

from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.errors import StoreError, StoreRefusedError, StoreUnavailableError
from tierbroker.cold.ports import ObjectPage
from tierbroker.cold.probe import Finding, StoreProbe, Verdict
from tierbroker.cold.stores.memory import MemoryStore

NOW_MS = 1_700_000_000_000


class Store(MemoryStore):
    """Memory with one fault at a time."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(InlineExecutor(), OsFileSystem(), clock, page_objects=2)
        self.ignores_if_absent = False
        self.ignores_if_match = False
        self.keeps_deleted = False
        self.wrong_bytes = False
        self.long_ranges = False
        self.checksums = True
        self.skew_ms = 0
        self.failures: dict[str, StoreError] = {}

    def put(self, key, body, *, if_absent=False, if_match=None):
        conditional = if_absent or if_match is not None
        for name, applies in (("put", True), ("conditional put", conditional)):
            if name in self.failures and applies:
                return failed(self.failures[name])
        if self.ignores_if_absent:
            if_absent = False
        if self.ignores_if_match:
            if_match = None
        return super().put(key, body, if_absent=if_absent, if_match=if_match)

    def get_range(self, key, start, length):
        if self.long_ranges:
            length = min(length, len(self.contents[key]) - start)
        pending = super().get_range(key, start, length)
        return done(b"?" + bytes(pending.result())[1:]) if self.wrong_bytes else pending

    def head(self, key):
        pending = super().head(key)
        if pending.error is not None:
            return pending
        facts = pending.result()
        return done(
            facts._replace(
                checksum=facts.checksum if self.checksums else None,
                modified_ms=facts.modified_ms + self.skew_ms,
            )
        )

    def delete(self, key):
        if "delete" in self.failures:
            return failed(self.failures["delete"])
        return done(None) if self.keeps_deleted else super().delete(key)

    def list(self, prefix, after=None):
        if "list" in self.failures:
            return failed(self.failures["list"])
        return super().list(prefix, after)


def done(value) -> Pending:
    pending: Pending = Pending()
    pending.resolve(value)
    return pending


def failed(error: StoreError) -> Pending:
    pending: Pending = Pending()
    pending.fail(error)
    return pending


@pytest.fixture
def store() -> Store:
    return Store(ManualClock(NOW_MS))


def findings(store: Store) -> dict[str, Finding]:
    probe = StoreProbe(store, ManualClock(NOW_MS), random.Random(1))
    return {finding.what: finding for finding in tell(probe.run()).result()}


def verdicts(store: Store) -> dict[str, Verdict]:
    return {what: finding.verdict for what, finding in findings(store).items()}


def test_a_good_store_is_ok_in_all_and_nothing_is_left(store: Store) -> None:
    found = verdicts(store)
    assert set(found.values()) == {Verdict.OK}
    assert list(found) == [
        "write and read",
        "what is there",
        "ranges",
        "create if absent",
        "compare and swap",
        "multipart upload",
        "full-object checksum",
        "list",
        "clock",
        "delete",
    ]
    assert store.contents == {}


@pytest.mark.parametrize(
    ("fault", "what", "verdict", "said"),
    [
        ("ignores_if_absent", "create if absent", Verdict.MISSING, "ignored"),
        ("ignores_if_match", "compare and swap", Verdict.MISSING, "ignored"),
        ("keeps_deleted", "delete", Verdict.NOTE, "still there"),
        ("long_ranges", "ranges", Verdict.MISSING, "beyond the end"),
    ],
)
def test_one_fault_is_one_finding(
    store: Store, fault: str, what: str, verdict: Verdict, said: str
) -> None:
    setattr(store, fault, True)
    found = findings(store)
    assert found[what].verdict is verdict
    assert said in found[what].found
    assert found[what].follows
    assert [name for name, other in found.items() if other.verdict is not Verdict.OK] == [what]


def test_a_store_without_checksums_is_noted(store: Store) -> None:
    store.checksums = False
    assert findings(store)["full-object checksum"].verdict is Verdict.NOTE


@pytest.mark.parametrize(("skew_ms", "said"), [(60_000, "60 s ahead"), (-61_000, "60 s behind")])
def test_a_clock_that_is_off_is_noted(store: Store, skew_ms: int, said: str) -> None:
    store.skew_ms = skew_ms
    finding = findings(store)["clock"]
    assert finding.verdict is Verdict.NOTE
    assert said in finding.found


def test_wrong_bytes_end_it_at_once(store: Store) -> None:
    store.wrong_bytes = True
    found = findings(store)
    assert list(found) == ["write and read"]
    assert found["write and read"].verdict is Verdict.MISSING
    assert store.contents == {}


def test_a_store_that_is_down_ends_it_at_once(store: Store) -> None:
    store.failures["put"] = store.failures["delete"] = StoreUnavailableError("nobody is there")
    found = findings(store)
    assert list(found) == ["write and read"]
    assert "nobody is there" in found["write and read"].found


def test_conditions_that_are_refused_are_missing(store: Store) -> None:
    store.failures["conditional put"] = StoreRefusedError("501 NotImplemented")
    found = verdicts(store)
    assert found["create if absent"] is Verdict.MISSING
    assert found["compare and swap"] is Verdict.MISSING
    assert found["delete"] is Verdict.OK


def test_what_cannot_be_deleted_is_named(store: Store) -> None:
    store.failures["delete"] = StoreRefusedError("AccessDenied")
    found = findings(store)
    assert found["delete"].verdict is Verdict.NOTE
    assert "AccessDenied" in found["cleaning up"].found
    assert all(key in found["cleaning up"].found for key in store.contents)


def test_a_listing_in_the_wrong_order_is_noted(store: Store, monkeypatch) -> None:
    def backwards(prefix, after=None):
        return done(ObjectPage(MemoryStore.list(store, prefix).result().objects[::-1], None))

    monkeypatch.setattr(store, "list", backwards)
    assert findings(store)["list"].verdict is Verdict.NOTE


def test_a_head_that_is_none_is_missing(store: Store) -> None:
    MemoryStore.put(store, "head", [b"{}"])
    assert findings(store)["what is there"].verdict is Verdict.MISSING
