"""What a checkpoint holds: one image, encoded over many turns, and what stands beside it."""

import json
from types import SimpleNamespace
from typing import Any

from tests.memory_fs import MemoryFileSystem
from tests.metadata_cluster import cluster, replayed, with_topic
from tierbroker.base.clock import ManualClock
from tierbroker.base.executor import ManualExecutor
from tierbroker.base.fs import FileSystem
from tierbroker.base.ids import TopicPartition
from tierbroker.base.parts import parts_length, release_parts
from tierbroker.base.pending import Pending
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.cold.ports import CheckpointContent
from tierbroker.cold.spool import Spool
from tierbroker.cold.stores.body import Body
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.state.codec import decode_record
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.snapshot import image_of_records
from tierbroker.groups.record_codec import CommittedOffset
from tierbroker.node.cluster_state import GROUPS_A_TURN, ClusterSnapshots
from tierbroker.records.checksum import crc32c

PLACE = TopicPartition("t", 0)


class FakeGroups:
    def __init__(self, count: int) -> None:
        self.names = [f"g{number}" for number in range(count)]

    def active_shards(self) -> list[Any]:
        return [SimpleNamespace(offsets=SimpleNamespace(store=self))]

    def groups(self) -> list[str]:
        return self.names

    def topics(self, group: str) -> list[str]:
        return ["t"]

    def committed(self, group: str, topic: str) -> list[tuple[int, CommittedOffset]]:
        return [(0, CommittedOffset(7, 2, "ü\n", 99))]


class Rig:
    def __init__(self, groups: int = 1, topics: int = 1) -> None:
        image = cluster(1)
        for number in range(topics):
            image = with_topic(image, f"t{number}", (1,))
        self.driver = SimpleNamespace(image=image)
        self.scheduler = ManualScheduler()
        self.fs = MemoryFileSystem()
        self.fs.mkdir("/data")
        self.executor = ManualExecutor()
        self.memory_bytes = 1 << 30
        self.spools: list[Spool] = []
        log = SimpleNamespace(offline=False, log_start_offset=3)
        self.held = [
            SimpleNamespace(topic_partition=PLACE, log=log, high_watermark=9, leader_epoch=4),
            SimpleNamespace(topic_partition=PLACE, log=None, high_watermark=9, leader_epoch=4),
        ]
        self.snapshots = ClusterSnapshots(
            self.driver,  # type: ignore[arg-type]
            FakeGroups(groups),  # type: ignore[arg-type]
            self.held,  # type: ignore[arg-type]
            ManualClock(),
            self.scheduler,
            self.new_spool,
        )

    def new_spool(self) -> Spool:
        spool = Spool(self.fs, self.executor, "/data/spool", 0, self.memory_bytes)
        self.spools.append(spool)
        return spool

    def finish(self, taking: Pending[CheckpointContent]) -> CheckpointContent:
        while not taking.done:
            self.scheduler.advance(0.001)
            self.executor.run_all()
        return taking.result()


def image_in(content: CheckpointContent, fs: FileSystem) -> MetadataImage:
    data = b"".join(Body(fs, content.metadata.parts).pieces())
    records = [
        decode_record(value) for batch in open_batches(data, "test") for value in batch.values
    ]
    return image_of_records(records, content.metadata_offset, 1)


def test_the_image_is_that_of_one_moment() -> None:
    rig = Rig(topics=1000)
    before = rig.driver.image
    taking = rig.snapshots.take()
    assert not taking.done
    rig.driver.image = replayed(before, [ConfigRecord(2, "t0", "retention.ms", "5")])
    content = rig.finish(taking)
    assert len(content.metadata.parts) > 5  # a piece a turn
    assert content.metadata_offset == before.offset
    found = image_in(content, rig.fs)
    assert found.topics == before.topics
    assert found.configs.topic("t0") == {}


def test_metadata_that_is_known_is_not_encoded_again() -> None:
    rig = Rig()
    offset = rig.driver.image.offset
    assert not rig.finish(rig.snapshots.take(offset)).metadata.size_bytes
    content = rig.finish(rig.snapshots.take(offset - 1))
    assert content.metadata.size_bytes
    assert content.metadata_offset == offset


def test_a_large_one_goes_into_a_file() -> None:
    rig = Rig(topics=1000)
    rig.memory_bytes = 10_000
    content = rig.finish(rig.snapshots.take())
    body = content.metadata
    assert parts_length([part for part in body.parts if isinstance(part, bytes)]) <= 10_000
    assert parts_length(body.parts) == body.size_bytes > 50_000
    assert crc32c(b"".join(Body(rig.fs, body.parts).pieces())) == body.checksum
    assert image_in(content, rig.fs).topics == rig.driver.image.topics
    release_parts(body.parts)
    rig.executor.run_all()
    assert rig.fs.open_files == 0


def test_one_that_nobody_waits_for_leaves_no_file_open() -> None:
    """Whatever it was at: encoding, writing, or at what stands beside the metadata."""
    steps = 0
    while True:
        rig = Rig(groups=2 * GROUPS_A_TURN + 1, topics=500)
        rig.memory_bytes = 0
        taking = rig.snapshots.take()
        for _ in range(steps):
            rig.executor.run_all()
            rig.scheduler.advance(0.001)
        if taking.done:
            break
        taking.cancel()
        rig.executor.run_all()
        assert rig.fs.open_files == 0
        assert rig.fs.listdir("/data") == []
        steps += 1
    assert steps > 5


def test_group_offsets_and_log_ends_are_lines_of_json() -> None:
    rig = Rig(groups=3 * GROUPS_A_TURN)
    content = rig.finish(rig.snapshots.take())
    lines = [json.loads(line) for line in content.group_offsets.splitlines()]
    assert len(lines) == 3 * GROUPS_A_TURN
    assert lines[1] == {
        "group": "g1",
        "topic": "t",
        "partition": 0,
        "offset": 7,
        "leader_epoch": 2,
        "metadata": "ü\n",
        "commit_timestamp_ms": 99,
    }
    assert [json.loads(line) for line in content.log_ends.splitlines()] == [
        {"topic": "t", "partition": 0, "start": 3, "end": 9, "leader_epoch": 4}
    ]
