"""Manifests: the entries of old segments leave the metadata, and are found again."""

from typing import Any

import pytest

from tests.tier_world import CLUSTER, INCARNATION, TOPIC_ID, TierWorld
from tierbroker.base.errors import KafkaStorageError
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import ObjectDamagedError, StoreUnavailableError
from tierbroker.cold.manifest import build_manifest, parse_manifest
from tierbroker.cold.spiller import LONGEST_PAUSE_S, Spiller
from tierbroker.records.tier.segment import SegmentArray, TierSegment

DOWN = StoreUnavailableError("the store is down")


class SpillWorld(TierWorld):
    def __init__(self, partitions: int = 1) -> None:
        super().__init__(partitions)
        self.spiller = self.new_spiller()

    def new_spiller(self) -> Spiller:
        return Spiller(
            self.store,
            self.ledger,
            self,
            self.stories,
            cluster_id=CLUSTER,
            clock=self.clock,
            slice_segments=4,
            kept_segments=2,
        )

    def fill(self, segments: int, number: int = 0) -> None:
        for _ in range(segments):
            self.partitions[number].close_segment()
        self.upload_all()

    @property
    def manifests(self) -> list[str]:
        return [key for key in self.store.contents if key.endswith(".man")]

    def shape(self, number: int = 0) -> tuple[int, int]:
        return len(self.tier(number).slices), len(self.tier(number).segments)


def test_the_oldest_segments_go_into_a_manifest() -> None:
    world = SpillWorld()
    world.fill(5)
    world.spiller.tick()
    assert world.shape() == (0, 5)
    world.fill(1)
    before = list(world.tier().segments)
    world.spiller.tick()
    assert world.shape() == (1, 2)
    (spilled,) = world.tier().slices
    (key,) = world.manifests
    assert (spilled.base_offset, spilled.end_offset, spilled.count) == (0, 39, 4)
    assert spilled.log_bytes_total == 400
    assert (spilled.object_bytes, spilled.checksum) == (
        len(world.store.contents[key]),
        crc64nvme(world.store.contents[key]),
    )
    manifest = parse_manifest(world.store.contents[key])
    assert list(manifest.segments) == before[:4]
    assert manifest.incarnations == (INCARNATION,)
    assert manifest.find(25) == before[2]
    world.fill(20)
    for _ in range(10):
        world.spiller.tick()
    assert world.shape() == (6, 2)
    assert world.tier().end_offset == 259


@pytest.mark.parametrize("done", [False, True])
def test_a_store_that_fails_is_tried_ever_more_seldom(*, done: bool) -> None:
    world = SpillWorld()
    world.fill(6)
    world.store.fail("put", DOWN, suffix=".man", times=float("inf"), done=done)
    for _ in range(3600):
        world.spiller.tick()
        world.clock.advance(1000)
    assert world.shape() == (0, 6)
    assert 8 <= len(world.tier().garbage) <= 16
    assert world.tier().intents == ()
    world.store.heal()
    world.clock.advance(int(LONGEST_PAUSE_S * 1000))
    world.spiller.tick()
    assert world.shape() == (1, 2)


@pytest.mark.parametrize("decided", [False, True])
@pytest.mark.parametrize("decision", ["begin_uploads", "commit_slice", "abandon_uploads"])
def test_a_metadata_log_that_fails_is_asked_again(decision: str, *, decided: bool) -> None:
    world = SpillWorld()
    world.fill(6)
    if decision == "abandon_uploads":
        world.store.fail("put", DOWN, suffix=".man")
    world.driver.refuse(decision, KafkaStorageError("the disk fails"), decided=decided)
    for _ in range(3):
        world.spiller.tick()
        world.clock.advance(60_000)
    assert world.shape() == (1, 2)
    assert world.tier().intents == ()
    live = {entry.intent_offset for entry in world.tier().slices}
    assert not live & set(world.tier().garbage.intent_offsets())


def test_what_an_earlier_run_began_is_given_up() -> None:
    world = SpillWorld()
    world.fill(6)
    world.store.hold("put")
    world.spiller.tick()
    world.stories.stop()
    world.store.hold_no_more()
    assert len(world.tier().intents) == 1
    world.spiller = world.new_spiller()
    world.spiller.tick()
    assert world.shape() == (1, 2)
    assert world.tier().intents == ()
    assert len(world.tier().garbage) == 1
    world.store.release()  # the late one changes nothing
    assert world.shape() == (1, 2)


def test_segments_that_are_retired_meanwhile() -> None:
    world = SpillWorld()
    world.fill(6)
    world.store.hold("put")
    world.spiller.tick()
    world.ledger.retire(TOPIC_ID, 0, 0, 20).result()
    world.store.release()
    assert world.shape() == (0, 4)
    assert world.tier().intents == ()
    assert not world.failures


def test_one_manifest_at_a_time() -> None:
    world = SpillWorld(partitions=2)
    world.fill(6, 0)
    world.fill(6, 1)
    world.store.hold("put")
    world.spiller.tick()
    world.spiller.tick()
    assert world.store.held == 1
    world.store.release()
    world.spiller.tick()
    assert world.shape(0) == world.shape(1) == (1, 2)
    world.fill(4, 0)
    world.spiller.stop()
    world.spiller.tick()
    assert world.shape(0) == (1, 6)


def segments(count: int = 3, **changes: Any) -> SegmentArray:
    entry = TierSegment(0, 9, 0, 1, 0, 100, 150, 5, 77, has_aborted=False)
    return SegmentArray.of(
        entry._replace(base_offset=10 * n, end_offset=10 * n + 9, **changes) for n in range(count)
    )


def test_a_manifest_that_is_none_is_refused() -> None:
    data = build_manifest(segments(), (INCARNATION,))
    assert parse_manifest(data).segments == segments()
    for damaged in (b"", data[:-1], data[1:], bytes(len(data))):
        with pytest.raises(ObjectDamagedError):
            parse_manifest(damaged)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            parsed = parse_manifest(changed)
        except ObjectDamagedError:
            continue
        assert parsed == parse_manifest(data), f"byte {position} changes what it says"


@pytest.mark.parametrize(
    "entries",
    [
        SegmentArray(),
        SegmentArray(segments().data[:56] + segments().data[112:]),
        SegmentArray(segments().data[56:] + segments().data[:56]),
    ],
)
def test_segments_that_do_not_follow_each_other_are_refused(entries: SegmentArray) -> None:
    with pytest.raises(ObjectDamagedError):
        parse_manifest(build_manifest(entries, (INCARNATION,)))


def test_a_manifest_says_what_it_does_not_list() -> None:
    manifest = parse_manifest(build_manifest(segments(), (INCARNATION,)))
    assert manifest.size_bytes >= 3 * 56
    for offset in (-1, 30):
        with pytest.raises(ObjectDamagedError, match=f"does not list offset {offset}"):
            manifest.find(offset)
