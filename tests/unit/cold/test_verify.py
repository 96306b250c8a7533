"""Whatever is planted is found, and nothing else is."""

import pytest

from tests.cold_store import (
    ABORTED,
    ColdStore,
    commit_marker,
    golden_store,
    kafka_batch,
    memory_store,
)
from tierbroker.base.story import Story, tell
from tierbroker.cold.archive import Archive, read_latest
from tierbroker.cold.errors import StoreUnavailableError
from tierbroker.cold.verify import Counts, Finding, Kind, Place, Verifier
from tierbroker.records.tier.events import TierRetire
from tierbroker.records.txn_index import AbortedTxn


def archive_of(made: ColdStore) -> Archive:
    head, name, *_ = tell(read_latest(memory_store(made.objects))).result()
    return Archive(head, name, made.state, made.topics, {})


def verify(
    made: ColdStore, share: float = 1.0, after: Place | None = None
) -> tuple[list[Finding], Counts]:
    archive = archive_of(made)
    verifier = Verifier(
        memory_store(made.objects), archive, topics=("orders",), share=share, after=after
    )
    plan = verifier.plan()
    findings = tell(verifier.run()).result()
    if not findings and after is None:
        counts = verifier.counts
        assert (plan.objects, plan.read_whole) == (counts.objects, counts.read_whole)
        assert plan.requests == counts.requests
    return findings, verifier.counts


def key_of(made: ColdStore, part: str) -> str:
    (key,) = (key for key in made.objects if part in key)
    return key


def flip(made: ColdStore, key: str, position: int) -> None:
    data = bytearray(made.objects[key])
    data[position] ^= 0x10
    made.objects[key] = bytes(data)


SEGMENT = "041-00000000000000000051.3.9.seg"


def test_a_store_without_fault() -> None:
    findings, counts = verify(golden_store())
    assert findings == []
    assert (counts.objects, counts.read_whole) == (7, 4)
    findings, counts = verify(golden_store(), share=0.0)
    assert findings == []
    assert (counts.objects, counts.read_whole, counts.requests) == (7, 1, 11)


@pytest.mark.parametrize(
    ("position", "reason"),
    [
        (100, "CRC"),
        (5, "offsets"),
        (13, "leader epoch"),
        (1070, "offset"),
        (-1, "none of ours"),
        (-20, "table"),
        (-100, "table"),
        (-200, "checksum"),
    ],
)
def test_a_flipped_bit(position: int, reason: str) -> None:
    made = golden_store()
    # The store's own checksum would tell: here it keeps none.
    flip(made, key_of(made, SEGMENT), position)
    ((finding,), _) = verify_without_checksums(made)
    assert (finding.kind, finding.first_offset, finding.last_offset) == (Kind.DAMAGED, 41, 51)
    assert reason in finding.reason


def verify_without_checksums(made: ColdStore) -> tuple[list[Finding], Counts]:
    store = memory_store(made.objects)
    store._facts = {key: facts._replace(checksum=None) for key, facts in store._facts.items()}
    verifier = Verifier(store, archive_of(made), topics=("orders",), share=1.0)
    return tell(verifier.run()).result(), verifier.counts


def test_every_byte_of_a_segment_counts() -> None:
    made = golden_store()
    key = key_of(made, SEGMENT)
    whole = made.objects[key]
    for position in range(0, len(whole), 37):
        flip(made, key, position)
        ((finding,), _) = verify_without_checksums(made)
        assert finding.key == key
        made.objects[key] = whole


def test_the_stores_own_checksum_tells_without_reading() -> None:
    made = golden_store()
    flip(made, key_of(made, SEGMENT), 100)
    ((finding,), _) = verify(made, share=0.0)
    assert "the store's checksum" in finding.reason


def test_what_is_missing_or_cut() -> None:
    made = golden_store()
    del made.objects[key_of(made, SEGMENT)]
    cut = key_of(made, "020-00000000000000000040.3.4.seg")
    made.objects[cut] = made.objects[cut][:-1]
    findings, _ = verify(made, share=0.0)
    assert [(finding.kind, finding.first_offset) for finding in findings] == [
        (Kind.DAMAGED, 20),
        (Kind.MISSING, 41),
    ]


def test_a_manifest_that_is_missing_or_another_one() -> None:
    made = golden_store()
    key = key_of(made, ".man")
    del made.objects[key]
    ((finding,), _) = verify(made)
    assert (finding.kind, finding.first_offset, finding.last_offset) == (Kind.MISSING, 0, 40)
    made = golden_store()
    flip(made, key, 3)
    ((finding,), _) = verify(made)
    assert finding.kind is Kind.DAMAGED


def test_checkpoints_that_the_head_names() -> None:
    made = golden_store()
    newest, before = (name.key for name in made.checkpoints)
    archive = archive_of(made)
    del made.objects[newest]
    made.objects[before] = made.objects[before][:-1]
    verifier = Verifier(memory_store(made.objects), archive, topics=("orders",), share=0.0)
    findings = tell(verifier.run()).result()
    assert [(finding.kind, finding.key, finding.topic) for finding in findings] == [
        (Kind.MISSING, newest, None),
        (Kind.DAMAGED, before, None),
    ]
    # Three newer ones, and nobody misses these.
    for _ in range(3):
        made.checkpoint()

    async def reopen() -> Archive:
        return archive_of(made)

    tell(verifier.drop_retired(reopen)).result()
    assert verifier.findings == []


def two_partitions() -> ColdStore:
    made = golden_store()
    for partition in (1, 2):
        made.upload([kafka_batch("none", 0, 3), commit_marker(10, 3)], 10, partition=partition)
    made.checkpoint()
    return made


def test_objects_that_changed_places() -> None:
    made = two_partitions()
    assert verify(made)[0] == []
    one, other = key_of(made, "/1/"), key_of(made, "/2/")
    made.objects[one], made.objects[other] = made.objects[other], made.objects[one]
    findings, _ = verify_without_checksums(made)
    assert [finding.partition for finding in findings] == [1, 2]
    assert "it is another object: its partition is 2, not 1" in findings[0].reason


@pytest.mark.parametrize(
    ("aborted", "reason"),
    [
        ([], "is not listed"),
        ([ABORTED, AbortedTxn(9, 43, 44, 52)], "no abort marker"),
        ([ABORTED._replace(first_offset=45)], "begins at 67"),
        ([ABORTED._replace(first_offset=60, last_offset=70)], "not of its offsets"),
    ],
)
def test_a_list_of_aborted_transactions_that_is_wrong(
    aborted: list[AbortedTxn], reason: str
) -> None:
    made = golden_store()
    made.apply_open_intents_given_up()
    shifted = [
        txn._replace(first_offset=txn.first_offset + 26, last_offset=txn.last_offset + 26)
        for txn in aborted
    ]
    # Written like this, and committed like this: no checksum tells.
    made.upload(
        [kafka_batch("none", 67, 5), kafka_batch("abort", 77, 5)], 77, epoch=5, aborted=shifted
    )
    made.checkpoint()
    ((finding,), _) = verify(made)
    assert (finding.first_offset, finding.kind) == (67, Kind.DAMAGED)
    assert reason in finding.reason


def test_an_abort_that_an_earlier_segment_does_not_list() -> None:
    made = golden_store()
    made.apply_open_intents_given_up()
    aborted = AbortedTxn(7, 67, 87, 88)
    made.upload([kafka_batch("none", 67, 5)], 76, epoch=5)
    made.upload(
        [kafka_batch("none", 77, 5), kafka_batch("abort", 87, 5)], 87, epoch=5, aborted=[aborted]
    )
    made.checkpoint()
    ((finding,), _) = verify(made)
    assert finding.first_offset == 77
    assert "not listed before this segment, and in it" in finding.reason


def test_an_index_that_leads_nowhere() -> None:
    made = golden_store()
    made.apply_open_intents_given_up()
    made.index_shift = 1
    made.upload([kafka_batch("none", 67, 5), commit_marker(77, 5)], 77, epoch=5)
    made.checkpoint()
    ((finding,), _) = verify(made)
    assert "index" in finding.reason


def test_what_was_checked_before_is_not_checked_again() -> None:
    made = golden_store()
    checked: list[Place] = []
    verifier = Verifier(
        memory_store(made.objects),
        archive_of(made),
        topics=("orders",),
        share=1.0,
        on_checked=checked.append,
    )
    tell(verifier.run()).result()
    assert [place.end_offset for place in checked] == [19, 40, 51, 66]
    _, counts = verify(made, after=checked[0])
    assert counts.read_whole == 3
    _, counts = verify(made, after=checked[2])
    assert (counts.objects, counts.read_whole) == (1, 1)


def test_what_retention_removed_meanwhile_is_no_finding() -> None:
    made = golden_store()
    archive = archive_of(made)
    del made.objects[key_of(made, SEGMENT)]
    verifier = Verifier(memory_store(made.objects), archive, topics=("orders",), share=1.0)
    assert len(tell(verifier.run()).result()) == 1
    made.apply(TierRetire(made.topics["orders"], 0, 5, 55, 0))
    made.checkpoint()

    async def reopen() -> Archive:
        return archive_of(made)

    tell(verifier.drop_retired(reopen)).result()
    assert verifier.findings == []


def test_a_store_that_does_not_answer_ends_it() -> None:
    made = golden_store()
    store = memory_store(made.objects)

    def down(key: str) -> Story[None]:
        raise StoreUnavailableError("down")

    store.head = down  # type: ignore[assignment, method-assign]
    verifier = Verifier(store, archive_of(made), topics=("orders",), share=1.0)
    with pytest.raises(StoreUnavailableError):
        tell(verifier.run()).result()


def test_a_large_segment_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tierbroker.cold.verify.PIECE_BYTES", 300)
    findings, counts = verify(golden_store())
    assert findings == []
    assert counts.requests > 20
