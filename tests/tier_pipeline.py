"""The whole cold tier of one log, whatever fails and whenever: from produce to local delete.

A real log, real deciders, a store that fails, forgets to answer and answers late, a broker that is
killed and comes back, a disk that is lost. After each step every acknowledged record is where it
belongs, with its one value; nothing was let go that a checkpoint in the store does not name; and
no key got two contents. What happens is drawn from a seed.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.log_setup import make_batch, read_batches
from tests.tier_world import TOPIC_ID
from tests.tiering_world import CLUSTER_ID, TieringWorld
from tierbroker.base.errors import KafkaStorageError
from tierbroker.cold.checkpoint_object import parse_checkpoint
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.errors import (
    ObjectDamagedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from tierbroker.cold.keys import (
    HEAD_KEY,
    MANIFEST_SUFFIX,
    SEGMENT_SUFFIX,
    ObjectName,
    object_key,
)
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.spiller import Spiller
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.snapshot import image_of_records
from tierbroker.hot.log_cutting import evict_below
from tierbroker.node import tiering
from tierbroker.records.tier.segment import TierSegment, TierSlice
from tierbroker.records.tier.state import PartitionTier, TierState

ERRORS = {
    "down": StoreUnavailableError("the store is down"),
    "refused": StoreRefusedError("access denied"),
    "damaged": ObjectDamagedError("half of it arrived"),
}
DECISIONS = (
    "begin_uploads",
    "commit_upload",
    "commit_slice",
    "abandon_uploads",
    "retire",
    "forget",
    "note_checkpoint",
)


class TierPipeline:
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="tier-pipeline-"))
        self.patch = pytest.MonkeyPatch()
        # Small slices: what is spilled after years happens here in minutes.
        small = partial(Spiller, slice_segments=3, kept_segments=2)
        self.patch.setattr(tiering, "Spiller", small)
        self.world = TieringWorld(
            self.directory,
            self.patch,
            tier_checkpoint_interval_ms="2000",
            tier_delete_grace_ms="3000",
            tier_upload_timeout_ms="8000",
        )
        self.world.start()
        self.batches: dict[int, bytes] = {}
        """All that was acknowledged, by base offset."""
        self.start = 0
        self.end = 0
        self.produced = 0
        self.known = "", TierState()
        """The newest checkpoint, read."""
        self.contents: dict[str, bytes] = {}
        """What each key was first seen with."""

    def settle(self) -> None:
        """All is well again: everything ends as it should."""
        self.world.store.heal()
        self.world.store.release()
        self.world.run(200)
        self.everything_is_where_it_belongs()
        if self.world.led.log is not None:
            tier = self.tier
            assert not tier.intents, tier.intents
            assert not tier.garbage, list(tier.garbage)

    def close(self) -> None:
        self.world.tiering.stop()
        asyncio.run(self.world.tiering.close())
        self.patch.undo()
        shutil.rmtree(self.directory)

    @property
    def tier(self) -> PartitionTier:
        found = self.world.state.partition(TOPIC_ID, 0)
        return PartitionTier(TOPIC_ID, 0, 0) if found is None else found

    # -- what happens ----------------------------------------------------------------------------

    def produce(self, batches: int, *, rolls: bool) -> None:
        if self.world.led.log is None:
            return
        log, led = self.world.log, self.world.led
        for _ in range(batches):
            self.produced += 1
            data, header = make_batch([b"%d" % self.produced] * 3, times=self.world.clock.now_ms())
            log.append([(data, header)], led.leader_epoch)
            self.batches[self.end] = bytes(data)
            self.end += 3
        log.flush()
        led.advance_high_watermark(log.log_end_offset)
        assert log.log_end_offset == self.end
        if rolls:
            log.roll()

    def wait(self, seconds: int) -> None:
        self.world.run(seconds)

    def break_store(self, verb: str, kind: str, suffix: str, times: int, *, done: bool) -> None:
        self.world.store.fail(verb, ERRORS[kind], suffix=suffix, times=times, done=done)

    def heal_store(self) -> None:
        self.world.store.heal()

    def hold(self, verb: str) -> None:
        self.world.store.hold(verb)

    def release(self, count: int | None) -> None:
        held = self.world.store.held
        self.world.store.release(None if count is None else min(count, held))

    def break_metadata(self, decision: str, *, decided: bool) -> None:
        if self.world.driver.pending_refusals < 2:
            self.world.driver.refuse(decision, KafkaStorageError("failed"), decided=decided)

    def let_go(self) -> None:
        """Local retention at its strictest."""
        if self.world.led.log is None:
            return
        limit = self.world.tiering.retention.evict_limit(self.world.log)
        assert limit is not None
        evict_below(self.world.log, limit)

    def delete_records(self, share: float) -> None:
        """As retention and DeleteRecords do: the metadata first, then what is here."""
        if self.world.led.log is None or self.end <= self.start:
            return
        start = self.start + int((self.end - self.start) * share)
        self.world.tiering.retention._note_start(self.world.led, start)
        self.start = max(self.start, self.world.led.log_start_offset)

    def kill(self) -> None:
        before = self.world.state.incarnations
        self.world.start_again()
        assert self.world.state.incarnations[: len(before)] == before

    def lose_the_disk(self) -> None:
        if not self.world.checkpointed:
            return
        evicted_end = self.local_start
        self.world.store.heal()
        self.world.store.hold_no_more()
        named = self.named()
        self.world.restore()
        tier = self.tier
        assert (tier.slices, tier.segments) == (named.slices, named.segments)
        assert self.world.led.log is not None
        end = self.world.log.log_end_offset
        # What had left the disk is all there; what was here alone is lost.
        assert tier.empty or end >= evicted_end or evicted_end <= self.start
        self.batches = {base: data for base, data in self.batches.items() if base < end}
        self.start = self.world.led.log_start_offset
        self.end = end

    # -- what must be so -------------------------------------------------------------------------

    @property
    def local_start(self) -> int:
        """Below it nothing is on this disk."""
        return self.world.log.segments.first.base_offset

    def named(self) -> PartitionTier:
        """What the newest checkpoint in the store says of the partition."""
        return self.named_state().partition(TOPIC_ID, 0) or PartitionTier(TOPIC_ID, 0, 0)

    def named_state(self) -> TierState:
        latest = self.world.head().latest
        assert latest is not None
        if self.known[0] != latest.key:
            content = self.world.store.contents[latest.key]
            assert crc64nvme(content) == latest.checksum
            data = bytes(parse_checkpoint(content).metadata)
            image = image_of_records(
                (decode_record(v) for batch in open_batches(data, "test") for v in batch.values),
                latest.metadata_offset,
                1,
            )
            self.known = latest.key, image.tier
        return self.known[1]

    def bytes_of(self, start: int, end: int) -> bytes:
        """The acknowledged batches of these offsets (end inclusive)."""
        return b"".join(data for base, data in sorted(self.batches.items()) if start <= base <= end)

    def check_objects(self, tier: PartitionTier, state: TierState) -> None:
        """Every object that counts is there, whole, with the records that were acknowledged."""
        for spilled in tier.slices:
            manifest = parse_manifest(self.content_of(spilled, state, MANIFEST_SUFFIX))
            assert len(manifest.segments) == spilled.count
            assert manifest.segments.start_offset == spilled.base_offset
            assert manifest.segments.end_offset == spilled.end_offset
            for segment in manifest.segments:
                self.check_segment(segment, state)
        for segment in tier.segments:
            self.check_segment(segment, state)

    def check_segment(self, segment: TierSegment, state: TierState) -> None:
        content = self.content_of(segment, state, SEGMENT_SUFFIX)
        records = content[: segment.log_bytes]
        assert records == self.bytes_of(segment.base_offset, segment.end_offset)

    def content_of(self, entry: TierSegment | TierSlice, state: TierState, suffix: str) -> bytes:
        name = ObjectName(
            TOPIC_ID,
            0,
            entry.base_offset,
            entry.end_offset,
            entry.leader_epoch,
            entry.intent_offset,
        )
        incarnation = state.incarnations[entry.incarnation]
        content = self.world.store.contents[object_key(CLUSTER_ID, incarnation, name, suffix)]
        assert (len(content), crc64nvme(content)) == (entry.object_bytes, entry.checksum)
        return content

    def everything_is_where_it_belongs(self) -> None:
        world, tier = self.world, self.tier
        assert not world.failures
        assert world.tiering.refusal is None
        self.check_objects(tier, world.state)
        if world.checkpointed:
            # A restore may begin here at any moment.
            self.check_objects(self.named(), self.named_state())
        for key, content in world.store.contents.items():
            if key != HEAD_KEY:
                assert self.contents.setdefault(key, content) == content, f"{key} changed"
        if world.led.log is None:
            return  # it waits for the store
        assert world.led.log_start_offset == self.start
        log = world.log
        local_start = max(log.log_start_offset, self.local_start)
        if local_start > self.start:
            assert tier.start_offset <= self.start
            assert tier.end_offset + 1 >= local_start
            if self.local_start > self.start:
                named = self.named()
                assert named.start_offset <= self.start
                assert named.end_offset + 1 >= self.local_start, "let go before a checkpoint"
        found = {header.base_offset: bytes(data) for data, header in read_batches(log)}
        assert log.log_end_offset == self.end
        here = {base: data for base, data in self.batches.items() if base + 2 >= local_start}
        assert {base: data for base, data in found.items() if base + 2 >= local_start} == here


Step = Callable[[TierPipeline, random.Random], None]
STEPS: tuple[tuple[int, Step], ...] = (
    (20, lambda tier, rng: tier.produce(rng.randint(1, 5), rolls=rng.random() < 0.7)),
    (30, lambda tier, rng: tier.wait(rng.choice((1, 1, 1, 2, 5, 20)))),
    (20, lambda tier, rng: tier.let_go()),
    (
        8,
        lambda tier, rng: tier.break_store(
            rng.choice(("put", "put", "put", "get_range", "head", "delete")),
            rng.choice(("down", "down", "refused", "damaged")),
            rng.choice(("", "", ".seg", ".man", ".ckpt", HEAD_KEY)),
            rng.randint(1, 5),
            done=rng.random() < 0.5,
        ),
    ),
    (4, lambda tier, rng: tier.heal_store()),
    (4, lambda tier, rng: tier.hold(rng.choice(("put", "delete", "get_range")))),
    (8, lambda tier, rng: tier.release(rng.choice((1, 2, None)))),
    (4, lambda tier, rng: tier.break_metadata(rng.choice(DECISIONS), decided=rng.random() < 0.5)),
    (3, lambda tier, rng: tier.delete_records(rng.random())),
    (3, lambda tier, rng: tier.kill()),
    (1, lambda tier, rng: tier.lose_the_disk()),
)


def live_through(seed: int) -> None:
    """Eighty things that happen, drawn from the seed; AssertionError when one breaks a promise."""
    rng = random.Random(seed)
    tier = TierPipeline()
    weights, steps = [weight for weight, _ in STEPS], [step for _, step in STEPS]
    try:
        for step in rng.choices(steps, weights, k=80):
            step(tier, rng)
            tier.everything_is_where_it_belongs()
        tier.settle()
    finally:
        tier.close()
