"""Whatever happens to a store: an archive gives the records that were written, or an error."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cold_store import ColdStore, golden_store, memory_store
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.ids import TopicPartition
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.base.story import Story, tell
from tierbroker.cold.archive import Archive, ArchiveReader, first_offset, records_in
from tierbroker.cold.errors import StoreError
from tierbroker.cold.verify import Finding, Verifier
from tierbroker.node.archived import open_archive
from tierbroker.records.record import Record

MADE = golden_store()
KEYS = sorted(MADE.objects)
SCHEDULER = ManualScheduler()


Reading = tuple[list[Record], bool]
"""What was read; whether the newest checkpoint was of no use, and the one before was taken."""
Damage = tuple[str, bytes | None]
"""An object and what is there instead."""


def told(story: Story[Reading]) -> Reading:
    pending = tell(story)
    while not pending.done:
        SCHEDULER.advance(0.001)
    return pending.result()


async def read(objects: dict[str, bytes]) -> Reading:
    store = memory_store(objects)
    archive = await open_archive(store)
    reader = ArchiveReader(store, archive, SCHEDULER)
    found: list[Record] = []
    try:
        for tier in archive.tiers("orders"):
            offset, end = first_offset(tier), tier.end_offset + 1
            while offset < end:
                part = await reader.read(tier, TopicPartition("orders", tier.partition), offset)
                found += records_in(part, offset, end)
                offset = part.next_offset
    finally:
        reader.close()
    return found, bool(archive.faults)


NEWEST = MADE.checkpoints[0].key
WRITTEN = told(read(MADE.objects))
WRITTEN_BEFORE = told(read({key: MADE.objects[key] for key in KEYS if key != NEWEST}))
assert (WRITTEN[1], WRITTEN_BEFORE[1]) == (False, True)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """One object with a flipped bit, cut, longer, gone, or another one in its place."""
    key = draw(st.sampled_from(KEYS))
    data = MADE.objects[key]
    damage = draw(st.sampled_from(("flip", "flip", "flip", "cut", "longer", "gone", "other")))
    if damage == "flip":
        bit = draw(st.integers(0, 8 * len(data) - 1))
        changed = bytearray(data)
        changed[bit >> 3] ^= 1 << (bit & 7)
        return key, bytes(changed)
    if damage == "cut":
        return key, data[: draw(st.integers(0, len(data) - 1))]
    if damage == "longer":
        return key, data + draw(st.binary(min_size=1, max_size=40))
    if damage == "other":
        return key, MADE.objects[draw(st.sampled_from(KEYS))]
    return key, None


def damaged(damage: Damage) -> dict[str, bytes]:
    key, data = damage
    objects = {name: kept for name, kept in MADE.objects.items() if name != key}
    return objects if data is None else {**objects, key: data}


@settings(max_examples=200)
@given(damages())
def test_no_wrong_record_is_read(damage: Damage) -> None:
    try:
        found = told(read(damaged(damage)))
    except (StoreError, KafkaStorageError):
        return
    assert found in (WRITTEN, WRITTEN_BEFORE)


async def verify(objects: dict[str, bytes], archive: Archive) -> list[Finding]:
    store = memory_store(objects)
    # A store that keeps no checksums: what is wrong has to be found in the bytes.
    store._facts = {key: facts._replace(checksum=None) for key, facts in store._facts.items()}
    return await Verifier(store, archive, topics=tuple(archive.topics), share=1.0).run()


@settings(max_examples=200)
@given(damages())
def test_verification_finds_what_is_damaged_and_nothing_else(damage: Damage) -> None:
    objects = damaged(damage)
    archive = told_archive(MADE)
    changed = {key for key in KEYS if objects.get(key) != MADE.objects[key]}
    counted = {
        archive.key_of(tier, entry)
        for tier in archive.tiers("orders")
        for entry in (*tier.slices, *tier.segments)
    } | {key for key in KEYS if key.endswith((".3.2.seg", ".3.4.seg", ".ckpt"))}
    findings = tell(verify(objects, archive)).result()
    assert {finding.key for finding in findings} == changed & counted


def told_archive(made: ColdStore) -> Archive:
    return tell(open_archive(memory_store(made.objects))).result()
