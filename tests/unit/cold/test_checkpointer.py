"""Checkpoints: what the head names is there, and nobody else's head is ever replaced."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.tier_world import CLUSTER, INCARNATION, OTHER_INCARNATION, STORE_ID, TierWorld
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.parts import FileSlice
from tierbroker.base.pending import Pending
from tierbroker.base.story import Story, tell
from tierbroker.cold.checkpoint_object import parse_checkpoint
from tierbroker.cold.checkpointer import KEPT_CHECKPOINTS, Checkpointer
from tierbroker.cold.checksum import crc64nvme
from tierbroker.cold.container import SectionBody
from tierbroker.cold.errors import StoreMismatchError, StoreUnavailableError
from tierbroker.cold.head import (
    CheckpointName,
    Head,
    HeadMissingError,
    encode_head,
    read_head,
    write_head,
)
from tierbroker.cold.keys import HEAD_KEY, checkpoint_key
from tierbroker.cold.ports import CheckpointContent
from tierbroker.controller.records.no_op_record import NoOpRecord

DOWN = StoreUnavailableError("the store is down")


@dataclass
class FakeCluster:
    """Says what the metadata log's fake holds."""

    world: TierWorld
    group_offsets: bytes = b"{}\n"
    log_ends: bytes = b"{}\n"
    encoded: int = 0
    file: Path | None = None
    """Where the metadata is to lie; in memory without."""
    leases: int = 0
    """On that file."""
    disk_lies: bool = False

    def take(self, known_offset: int = -1) -> Pending[CheckpointContent]:
        offset = self.world.driver.image.offset
        metadata = SectionBody.of()
        if offset > known_offset:
            self.encoded += 1
            metadata = SectionBody.of(b"metadata ", str(offset).encode())
            if self.file is not None:
                metadata = self._in_file(metadata)
        taken: Pending[CheckpointContent] = Pending()
        taken.resolve(CheckpointContent(offset, metadata, self.group_offsets, self.log_ends))
        return taken

    def _in_file(self, metadata: SectionBody) -> SectionBody:
        assert self.file is not None
        content = b"".join(metadata.parts)  # type: ignore[arg-type]
        self.file.write_bytes(content.swapcase() if self.disk_lies else content)
        fd = os.open(self.file, os.O_RDONLY)
        self.leases += 1
        return metadata._replace(
            parts=[FileSlice(fd, 0, metadata.size_bytes, Lease(self, fd))],
            made_as=crc64nvme(content),
        )


@dataclass
class Lease:
    cluster: FakeCluster
    fd: int

    def release(self) -> None:
        os.close(self.fd)
        self.cluster.leases -= 1

    def cannot_read(self, position: int, error: OSError) -> None:
        raise AssertionError(error)


class CheckpointWorld(TierWorld):
    def __init__(self) -> None:
        super().__init__()
        self.cluster = FakeCluster(self)
        etag = self.told(write_head(self.store, Head(CLUSTER, STORE_ID, INCARNATION), None))
        self.checkpointer = self.start(Head(CLUSTER, STORE_ID, INCARNATION), etag)

    def start(self, head: Head, etag: str) -> Checkpointer:
        """As after a start of the broker."""
        return Checkpointer(self.store, self.ledger, self.cluster, head, etag, self.clock)

    def restart(self) -> None:
        found = self.found()
        etag = self.store.inner.head(HEAD_KEY).result().etag
        self.change()  # the broker registers
        self.checkpointer = self.start(found, etag)

    def told(self, story: Story[Any]) -> Any:
        return tell(story).result()

    def take(self) -> None:
        self.told(self.checkpointer.take())

    def change(self) -> None:
        """The metadata has news."""
        self.driver.apply(NoOpRecord())

    def found(self) -> Head:
        """What the head says; all that it names is whole."""
        found = self.told(read_head(self.store))
        assert found is not None
        head: Head = found[0]
        for name in head.checkpoints:
            content = self.store.contents[name.key]
            assert (name.size_bytes, name.checksum) == (len(content), crc64nvme(content))
            metadata = bytes(parse_checkpoint(content).metadata)
            assert metadata == b"metadata %d" % name.metadata_offset
        return head

    @property
    def objects(self) -> set[str]:
        """Keys of the checkpoints that exist."""
        return {key for key in self.store.contents if key.endswith(".ckpt")}


def test_the_head_names_a_checkpoint_and_the_metadata_hears_of_it() -> None:
    world = CheckpointWorld()
    offset = world.driver.image.offset
    world.take()
    latest = world.found().latest
    assert latest is not None
    assert (latest.metadata_offset, latest.sequence) == (offset, 0)
    assert latest.key == checkpoint_key(CLUSTER, INCARNATION, offset, 0)
    assert world.state.checkpointed_offset == world.checkpointer.durable_offset == offset
    assert world.checkpointer.failure is None


def test_without_news_nothing_is_written() -> None:
    world = CheckpointWorld()
    world.take()
    writes, encoded = len(world.store.puts), world.cluster.encoded
    world.clock.advance(1000)
    world.take()
    assert (len(world.store.puts), world.cluster.encoded) == (writes, encoded)
    assert world.checkpointer.current_ms == world.clock.now_ms()
    for change in ("group_offsets", "log_ends"):
        setattr(world.cluster, change, b"news\n")
        world.take()
        writes += 2
        assert len(world.store.puts) == writes
    world.change()
    world.take()
    assert len(world.store.puts) == writes + 2


def test_a_few_checkpoints_are_kept() -> None:
    world = CheckpointWorld()
    for _ in range(KEPT_CHECKPOINTS + 3):
        world.change()
        world.take()
    head = world.found()
    assert [name.sequence for name in head.checkpoints] == [5, 4, 3]
    assert world.objects == {name.key for name in head.checkpoints}


def test_checkpoints_of_another_incarnation_stay() -> None:
    world = CheckpointWorld()
    others = tuple(
        CheckpointName(checkpoint_key(CLUSTER, OTHER_INCARNATION, at, at), 1, 1, at, at, 1)
        for at in (2, 1)
    )
    head = Head(CLUSTER, STORE_ID, INCARNATION, others)
    etag = world.told(write_head(world.store, head, world.store.inner.head(HEAD_KEY).result().etag))
    world.checkpointer = world.start(head, etag)
    for _ in range(5):
        world.change()
        world.take()
    assert world.found().latest.sequence == 7  # type: ignore[union-attr]
    assert world.store.deleted
    assert not any(name.key in world.store.deleted for name in others)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("suffix", [".ckpt", HEAD_KEY])
def test_a_store_that_fails_is_tried_again(suffix: str, *, done: bool) -> None:
    world = CheckpointWorld()
    world.take()
    world.change()
    world.cluster.group_offsets = b"newer\n"
    world.store.fail("put", DOWN, suffix=suffix, done=done)
    before = world.checkpointer.durable_offset
    world.take()
    assert "down" in str(world.checkpointer.failure)
    assert world.checkpointer.durable_offset == before
    assert world.state.checkpointed_offset == before
    world.found()
    world.cluster.group_offsets = b"newest\n"  # what is tried again is not the same
    world.take()
    head = world.found()
    assert world.checkpointer.failure is None
    assert head.latest is not None
    assert world.state.checkpointed_offset == head.latest.metadata_offset
    content = world.store.contents[head.latest.key]
    assert bytes(parse_checkpoint(content).group_offsets) == b"newest\n"
    # No key twice, and what no head names is gone.
    checkpoints = [key for key in world.store.puts if key.endswith(".ckpt")]
    assert len(checkpoints) == len(set(checkpoints))
    assert world.objects == {name.key for name in head.checkpoints}


def test_the_answer_of_a_write_that_is_read_back_gets_lost() -> None:
    world = CheckpointWorld()
    for _ in range(3):
        world.change()
        world.store.fail("get_range", DOWN, suffix=HEAD_KEY)
        world.take()
        assert world.checkpointer.failure is not None
    world.take()
    assert world.checkpointer.failure is None
    assert world.objects == {name.key for name in world.found().checkpoints}


@pytest.mark.parametrize("end", ["stored", "refused", "nobody waits"])
def test_the_file_of_a_large_one_is_there_as_long_as_it_is_read(tmp_path: Path, end: str) -> None:
    world = CheckpointWorld()
    world.cluster.file = tmp_path / "metadata"
    world.store.hold("put")
    if end == "refused":
        world.store.fail("put", DOWN, suffix=".ckpt")
    taking = tell(world.checkpointer.take())
    assert world.cluster.leases == 1
    if end == "nobody waits":
        taking.cancel()
    else:
        world.store.release()
        assert taking.done
        assert (world.found().latest is not None) == (end == "stored")
    assert world.cluster.leases == 0


def test_what_the_disk_has_changed_is_no_checkpoint(tmp_path: Path) -> None:
    world = CheckpointWorld()
    world.cluster.file = tmp_path / "metadata"
    world.cluster.disk_lies = True
    world.take()
    assert "the disk of the log directory" in str(world.checkpointer.failure)
    assert world.found().latest is None
    assert world.checkpointer.durable_offset == -1
    world.cluster.disk_lies = False
    world.take()
    assert world.checkpointer.failure is None
    assert len(world.objects) == len(world.found().checkpoints) == 1


def test_a_note_that_fails_lets_nothing_go_and_is_made_good() -> None:
    world = CheckpointWorld()
    world.driver.refuse("note_checkpoint", KafkaStorageError("the disk fails"))
    world.take()
    assert world.state.checkpoint is None
    assert world.checkpointer.failure is not None
    world.take()
    assert world.state.checkpointed_offset == world.checkpointer.durable_offset >= 0


@pytest.mark.parametrize("ignores_conditions", [False, True])
def test_another_writer_ends_it(*, ignores_conditions: bool) -> None:
    world = CheckpointWorld()
    world.take()
    world.store.ignores_conditions = ignores_conditions
    other = replace(world.found(), incarnation=OTHER_INCARNATION)
    world.change()
    # The other one writes while this one's checkpoint is on its way.
    world.store.hold("put", "head")
    taking = tell(world.checkpointer.take())
    world.store.release(1)  # the checkpoint
    if ignores_conditions:
        world.store.release(1)  # the head, which nobody sees: the other one's replaces it
    world.store.inner.put(HEAD_KEY, [encode_head(other)])
    world.store.release()
    with pytest.raises(StoreMismatchError, match="old host"):
        taking.result()
    assert world.found() == other
    assert world.store.deleted == []


def test_a_copy_of_the_data_directory_ends_it() -> None:
    world = CheckpointWorld()
    world.take()
    head = world.found()
    assert head.latest is not None
    copy = replace(head.latest, metadata_offset=world.driver.image.offset + 2, sequence=1)
    world.store.inner.put(HEAD_KEY, [encode_head(replace(head, checkpoints=(copy,)))])
    world.change()
    with pytest.raises(StoreMismatchError, match="another process"):
        world.take()


def test_a_head_that_is_gone_is_not_made_anew() -> None:
    world = CheckpointWorld()
    world.store.inner.delete(HEAD_KEY)
    with pytest.raises(HeadMissingError, match=f"gone.*put it back.*tier check {world.store.url}"):
        world.take()
    with pytest.raises(HeadMissingError):
        world.told(world.checkpointer.find_head())
    assert HEAD_KEY not in world.store.contents


@pytest.mark.parametrize("older", [False, True])
def test_a_head_that_comes_back_is_gone_on_with(*, older: bool) -> None:
    world = CheckpointWorld()
    world.take()
    kept = world.store.contents[HEAD_KEY]
    if older:
        world.change()
        world.take()
    head, last = world.checkpointer.head, world.store.contents[HEAD_KEY]
    world.store.inner.delete(HEAD_KEY)
    world.store.inner.put(HEAD_KEY, [kept if older else last])
    world.told(world.checkpointer.find_head())
    # What an older head does not name counts as not durable until the next one names it.
    assert world.checkpointer.durable_offset == -1
    world.take()
    assert world.found().checkpoints[1:] == head.checkpoints
    assert world.checkpointer.durable_offset == world.state.checkpointed_offset


def test_another_head_than_the_one_that_is_gone_ends_it() -> None:
    world = CheckpointWorld()
    world.take()
    other = replace(world.found(), incarnation=OTHER_INCARNATION)
    world.store.inner.put(HEAD_KEY, [encode_head(other)])
    with pytest.raises(StoreMismatchError, match="old host") as ended:
        world.told(world.checkpointer.find_head())
    assert not isinstance(ended.value, HeadMissingError)
    assert world.found() == other


def test_a_write_of_the_run_before_arrives_late() -> None:
    world = CheckpointWorld()
    world.take()
    world.change()
    world.store.hold("put")
    late = tell(world.checkpointer.take())
    world.store.release(1)
    assert world.store.held == 1  # the head is on its way
    late.cancel()
    world.store.hold_no_more()
    world.restart()
    world.store.release()  # and arrives now
    world.take()
    assert world.checkpointer.failure is None
    head = world.found()
    assert head.latest is not None
    assert head.latest.metadata_offset == world.checkpointer.durable_offset


def test_a_restart_goes_on_counting() -> None:
    world = CheckpointWorld()
    world.take()
    world.restart()
    assert world.checkpointer.durable_offset == -1
    world.take()
    assert [name.sequence for name in world.found().checkpoints] == [1, 0]
    keys = [key for key in world.store.puts if key.endswith(".ckpt")]
    assert len(set(keys)) == len(keys)


def test_old_checkpoints_that_cannot_be_deleted_fail_nothing() -> None:
    world = CheckpointWorld()
    world.store.fail("delete", DOWN, times=2)
    for _ in range(KEPT_CHECKPOINTS + 2):
        world.change()
        world.take()
        assert world.checkpointer.failure is None
    assert world.objects > {name.key for name in world.found().checkpoints}
    world.take()
    assert world.objects == {name.key for name in world.found().checkpoints}
