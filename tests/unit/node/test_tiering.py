"""The clockwork of the cold tier: bound to its store, ticking, given up; on a real log."""

import asyncio
import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faulty_store import FaultyStore
from tests.log_setup import make_batch
from tests.tier_world import OTHER_INCARNATION
from tests.tiering_world import CLUSTER_ID, TieringWorld
from tierbroker.base.errors import (
    InvalidRequestError,
    KafkaStorageError,
    UnknownTopicOrPartitionError,
)
from tierbroker.base.ids import uuid_text
from tierbroker.base.pending import Pending
from tierbroker.base.story import tell
from tierbroker.cold.errors import StoreUnavailableError
from tierbroker.cold.head import Head, encode_head
from tierbroker.cold.keys import HEAD_KEY
from tierbroker.node import tiering as module
from tierbroker.node.tier_report import TierReports

DOWN = StoreUnavailableError("the store is down")
OTHER = Head("another", OTHER_INCARNATION, OTHER_INCARNATION)


def take_over(world: TieringWorld) -> None:
    """A restore elsewhere, under another incarnation."""
    taken = replace(world.head(), incarnation=OTHER_INCARNATION)
    world.store.inner.put(HEAD_KEY, [encode_head(taken)])


def obstacle(world: TieringWorld) -> str:
    """What `tier status` says of the partition."""
    reports = TierReports(world.tiering, world.held, world.clock, world.scheduler)
    (report,) = tell(reports.collect()).result()
    return str(report.lag.reason)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TieringWorld:
    return TieringWorld(tmp_path, monkeypatch)


def test_from_a_closed_segment_to_a_checkpoint_that_names_it(world: TieringWorld) -> None:
    world.start()
    head = world.head()
    assert (head.cluster_id, head.store_id) == (CLUSTER_ID, world.state.store_id)
    assert world.state.incarnations == (head.incarnation,)
    world.fill(3)
    world.run(2)
    assert world.tier().end_offset == 29
    world.run(35)
    assert world.state.named_end_offset(world.log.topic_id, 0) == 29
    latest = world.head().latest
    assert latest is not None
    assert latest.key in world.store.contents
    assert world.store.calls["list"] == 0


def test_an_idle_cluster_writes_nothing(world: TieringWorld) -> None:
    world.start()
    world.fill(1)
    world.run(120)
    writes = len(world.store.puts)
    world.run(600)
    assert len(world.store.puts) == writes


def test_a_store_that_does_not_answer_is_waited_for(
    world: TieringWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.fail("head", DOWN, times=float("inf"))
    world.start()
    world.fill(1)
    world.run(600)
    assert world.tiering.checkpointer is None
    assert world.tiering.refusal is None
    assert world.store.puts == []
    assert len([text for text in caplog.messages if "waits for its store" in text]) == 1
    assert world.tiering._why_not_here(world.led.topic_partition) == (
        "the store has not answered since the start"
    )
    world.store.heal()
    world.run(60)
    assert world.tier().end_offset == 9


def test_a_metadata_log_that_fails_at_the_start_is_asked_again(world: TieringWorld) -> None:
    world.driver.refuse("bind_store", KafkaStorageError("the disk fails"))
    world.start()
    assert world.tiering.checkpointer is None
    world.run(10)
    assert world.tiering.checkpointer is not None
    assert world.state.incarnations == (world.head().incarnation,)


def test_another_clusters_store_is_refused(world: TieringWorld) -> None:
    world.store.inner.put(HEAD_KEY, [encode_head(OTHER)])
    world.start()
    assert "holds cluster another" in str(world.tiering.refusal)
    world.fill(1)
    world.run(60)
    assert world.store.puts == []


def test_another_clusters_store_that_answers_late_is_refused(world: TieringWorld) -> None:
    world.store.inner.put(HEAD_KEY, [encode_head(OTHER)])
    world.store.fail("head", DOWN)
    world.start()
    world.fill(1)
    world.run(60)
    assert "holds cluster another" in str(world.tiering.refusal)
    assert world.store.puts == []


@pytest.mark.parametrize("others", [False, True])
def test_a_start_waits_only_so_long_for_an_answer(world: TieringWorld, *, others: bool) -> None:
    """Produce and consume of what is here need no store."""
    if others:
        world.store.inner.put(HEAD_KEY, [encode_head(OTHER)])
    world.store.hold("head")
    started = world.tiering.start()
    world.scheduler.advance(4)
    assert not started.done
    world.scheduler.advance(1)
    assert started.done
    assert world.tiering.refusal is None
    world.fill(1)
    world.run(5)
    world.store.release()
    world.run(30)
    assert ("holds cluster another" in str(world.tiering.refusal)) == others
    if others:
        assert world.tiering.retention.keeps_all
        assert world.store.puts == []
    else:
        assert world.checkpointed


def test_a_cluster_that_was_taken_over_lets_nothing_go(world: TieringWorld) -> None:
    world.start()
    world.fill(2)
    world.run(40)
    assert world.tiering.retention.evict_limit(world.log) == 20
    take_over(world)
    before = dict(world.store.contents)
    world.fill(2)
    world.run(40)
    assert "old host" in str(world.tiering.refusal)
    written = world.store.contents.keys() - before.keys()
    assert not any(uuid_text(OTHER_INCARNATION) in key for key in written)
    assert world.head().incarnation == OTHER_INCARNATION
    assert world.tiering.retention.evict_limit(world.log) == 0
    offset = world.driver.image.offset
    world.fill(1)
    world.run(120)
    assert world.driver.image.offset == offset
    assert world.store.deleted == []
    reads = world.store.calls["get_range"]
    world.tiering.read(world.tier(), world.led.topic_partition, 0, 1 << 20)
    assert world.store.calls["get_range"] > reads  # what is cold stays readable
    with pytest.raises(KafkaStorageError, match="old host"):
        world.tiering.offload("t").result()


def test_a_head_that_was_removed_is_waited_for(
    world: TieringWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.start()
    world.fill(2)
    world.run(40)
    assert world.tiering.retention.evict_limit(world.log) == 20
    head = world.store.contents[HEAD_KEY]
    world.store.inner.delete(HEAD_KEY)
    world.fill(2)
    world.run(40)
    assert "put it back" in str(world.tiering.refusal)
    assert world.tiering.retention.evict_limit(world.log) == 0
    before = world.store.contents.keys() - {HEAD_KEY}
    world.fill(2)
    world.run(300)
    assert world.store.contents.keys() == before  # nothing goes up, nothing is deleted
    assert obstacle(world).startswith("the cold tier waits: ")
    with pytest.raises(KafkaStorageError, match="put it back"):
        world.tiering.offload("t").result()
    assert len([text for text in caplog.messages if "the cold tier waits" in text]) == 1

    world.store.fail("put", DOWN, suffix=HEAD_KEY)  # it is back, and not well at once
    world.store.inner.put(HEAD_KEY, [head])
    world.run(31)
    assert world.tiering.retention.evict_limit(world.log) == 0
    world.run(80)
    assert world.tiering.refusal is None
    assert world.tiering.retention.evict_limit(world.log) == 60
    assert any("the cold tier goes on" in text for text in caplog.messages)


def test_another_head_in_place_of_the_removed_one_ends_it(world: TieringWorld) -> None:
    world.start()
    world.fill(2)
    world.run(40)
    taken = replace(world.head(), incarnation=OTHER_INCARNATION)
    world.store.inner.delete(HEAD_KEY)
    world.fill(1)
    world.run(40)
    world.store.inner.put(HEAD_KEY, [encode_head(taken)])
    world.fill(1)
    world.run(120)
    assert "old host" in str(world.tiering.refusal)
    assert obstacle(world).startswith("the cold tier is given up: ")
    assert world.head() == taken
    assert world.tiering.retention.evict_limit(world.log) == 0


def test_large_checkpoints_leave_time_for_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = TieringWorld(tmp_path, monkeypatch, tier_checkpoint_interval_ms="1000")
    world.start()
    world.fill(1)
    world.store.hold("put")
    world.tiering.tick()
    world.scheduler.end_turn()
    world.run(60)  # a slow store
    world.store.release()
    taken = [key for key in world.store.puts if key.endswith(".ckpt")]
    world.fill(1)
    world.run(3)
    later = [key for key in world.store.puts if key.endswith(".ckpt")]
    assert len(later) == len(taken)
    world.run(2)  # but not for ever, because the store was slow once
    assert len([key for key in world.store.puts if key.endswith(".ckpt")]) > len(taken)


def test_an_outage_is_a_few_lines_however_many_read(
    world: TieringWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Five minutes of a consumer that asks twice a second, and of uploads, and a checkpoint."""
    world.start()
    world.fill(3)
    world.run(40)
    tier, place = world.tier(), world.led.topic_partition
    caplog.clear()
    caplog.set_level(logging.INFO)

    def read(offset: int) -> bool:
        try:
            world.tiering.read(tier, place, offset, 1 << 20)
        except KafkaStorageError:
            return False
        return True

    for verb in ("get_range", "put", "head"):
        world.store.fail(verb, DOWN, times=float("inf"))
    world.fill(1)
    for _ in range(300):
        assert not read(0)
        assert not read(0)
        world.run(1)
    said = [text for text in caplog.messages if "the store is down" in text]
    reads = [text for text in said if f"a read of {place}" in text]
    assert len(reads) == 5
    assert "(failures: 121 in 60 s)" in reads[1]
    assert len(said) <= 15
    world.store.heal()
    assert read(0)
    world.run(120)
    again = [text.partition(":")[0] for text in caplog.messages if "well again" in text]
    assert len(again) == len(set(again)) == 3
    assert any("cold reads" in text for text in again)


def test_offload_by_request(world: TieringWorld) -> None:
    world.start()
    world.log.append([make_batch([b"a", b"b"], times=world.clock.now_ms())], 0)
    world.log.flush()
    world.led.advance_high_watermark(2)
    offloaded = world.tiering.offload("t", evict=True)
    world.run(3)
    assert offloaded.result() == 1
    assert world.tier().end_offset == 1
    assert world.local_bases == [2]
    with pytest.raises(UnknownTopicOrPartitionError, match=r"remote\.storage\.enable"):
        world.tiering.offload("nothing").result()


def test_nothing_is_evicted_while_the_head_is_gone(world: TieringWorld) -> None:
    world.start()
    world.log.append([make_batch([b"a", b"b"], times=world.clock.now_ms())], 0)
    world.log.flush()
    world.led.advance_high_watermark(2)
    offloaded = world.tiering.offload("t")
    world.run(3)
    assert offloaded.result() == 1
    assert world.local_bases == [0, 2]
    world.tiering.refusal = "the head is gone"
    with pytest.raises(KafkaStorageError, match="the head is gone"):
        world.tiering.offload("t", evict=True).result()
    assert world.local_bases == [0, 2]


def test_offload_of_what_is_copied_no_more(world: TieringWorld) -> None:
    world.start()
    world.fill(1)
    world.set(remote_log_copy_disable=True)
    with pytest.raises(InvalidRequestError, match=r"remote\.log\.copy\.disable"):
        world.tiering.offload("t").result()


def test_offload_ends_when_the_log_does(world: TieringWorld) -> None:
    world.start()
    world.fill(1)
    world.store.fail("put", DOWN, times=float("inf"))
    offloaded = world.tiering.offload("t", evict=True)
    world.run(3)
    assert not offloaded.done
    world.log.close()
    world.led.is_leader = False
    world.run(3)
    assert offloaded.result() == 1


async def test_after_a_stop_nothing_goes_on(world: TieringWorld) -> None:
    world.start()
    world.fill(2)
    world.store.hold("put")
    world.tiering.tick()
    world.scheduler.end_turn()
    world.tiering.stop()
    world.store.release()
    world.scheduler.advance(600)
    assert world.state.partition(world.log.topic_id, 0) is not None
    assert world.tier().empty
    assert len(world.tier().intents) == 1
    await world.tiering.close()


async def test_the_loop_goes_on_while_the_end_waits_for_a_worker(
    world: TieringWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_WAIT_S", 60.0)
    answered = threading.Event()
    world.tiering._executor.run(lambda: answered.wait(60), lambda _: None)
    world.tiering.stop()
    asyncio.get_running_loop().call_soon(answered.set)
    await world.tiering.close()
    assert "Given up" not in caplog.text


class StoreOfParts(FaultyStore):
    """Some parts are under way."""

    def __init__(self, world: TieringWorld) -> None:
        super().__init__(world.clock)
        self.settled: Pending[None] = Pending()
        self.closed = False

    def parts_settled(self) -> Pending[None]:
        return self.settled

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("answers", [True, False])
async def test_uploads_in_parts_are_given_up_before_the_store_is_closed(
    world: TieringWorld, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    store = world.tiering.store.inner = StoreOfParts(world)
    monkeypatch.setattr(module, "STOP_PARTS_S", 60.0 if answers else 0.01)
    seen: list[bool] = []

    def settle() -> None:
        seen.append(store.closed)
        store.settled.resolve(None)

    if answers:
        asyncio.get_running_loop().call_soon(settle)
    world.tiering.stop()
    await world.tiering.close()
    assert store.closed
    assert seen == ([False] if answers else [])


async def test_an_end_that_is_cut_short_closes_the_store(
    world: TieringWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = world.tiering.store.inner = StoreOfParts(world)
    monkeypatch.setattr(module, "STOP_PARTS_S", 60.0)
    world.tiering.stop()
    closing = asyncio.ensure_future(world.tiering.close())
    asyncio.get_running_loop().call_soon(closing.cancel)
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert store.closed
    world.tiering._executor.close()


def test_what_a_power_cut_may_take_is_not_in_the_store(world: TieringWorld) -> None:
    """flush.mode=replicated acknowledges from the page cache; an offset has one value even so."""
    world.set(flush_mode="replicated")
    world.start()

    def write(value: bytes) -> None:
        world.log.append([make_batch([value] * 10, times=world.clock.now_ms())], 0)
        world.led.advance_high_watermark(world.log.log_end_offset)
        world.log.roll()

    write(b"kept")
    world.log.flush()
    write(b"lost")
    assert world.led.high_watermark == 20
    world.run(5)
    assert world.tier().end_offset == 9
    world.die()
    world.setup.crash()
    world.log = world.setup.open()
    world._come_up()
    assert world.log.log_end_offset == 10
    write(b"new")
    world.log.flush()
    world.run(5)
    assert world.tier().end_offset == 19
    assert not [key for key, data in world.store.contents.items() if b"lost" in data]
    assert [key for key, data in world.store.contents.items() if b"new" in data]
