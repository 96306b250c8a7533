"""Partitions follow the metadata: taken up, led, reconfigured, dropped; logs are faked."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.metadata_cluster import cluster, log_dir, registration, with_topic
from tierbroker.base.errors import KafkaStorageError, UnknownTopicOrPartitionError
from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.base.scheduler import ManualScheduler
from tierbroker.controller.records.config_record import ConfigRecord
from tierbroker.controller.records.partition_change_record import PartitionChangeRecord
from tierbroker.controller.records.remove_topic_record import RemoveTopicRecord
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.brokers import register_broker
from tierbroker.controller.state.delta import MetadataDelta
from tierbroker.controller.state.image import MetadataImage
from tierbroker.controller.state.partitions import new_partition
from tierbroker.hot.config_origin import TopicConfigs
from tierbroker.hot.producer_state import ProducerState
from tierbroker.replication.partition import Appender
from tierbroker.replication.partitions import Partitions

ME = 1
OTHER_DIR = Uuid(b"d" * 16)


@dataclass(eq=False)
class FakeLog:
    topic_partition: TopicPartition
    topic_id: Uuid
    config: Any
    log_end_offset: int = 0
    offline: bool = False
    has_unflushed: bool = True
    epochs: list[int] = field(default_factory=list)
    producer_state: ProducerState = field(default_factory=ProducerState)

    def assign_epoch_start(self, epoch: int, offset: int) -> None:
        self.epochs.append(epoch)


class FakeLogs:
    """Makes a log for whoever asks, unless it has no room or the log is broken."""

    def __init__(self) -> None:
        self.has_room = True
        self.failed: dict[TopicPartition, Exception] = {}
        self.pending: set[TopicPartition] = set()
        self.made: list[TopicPartition] = []
        self.open: dict[TopicPartition, FakeLog] = {}
        self.held_in: list[Uuid | None] = []
        self.deleted: list[TopicPartition] = []
        self.directory = SimpleNamespace(directory_id=log_dir(ME), check_room=lambda: None)

    def get_or_create(
        self, place: TopicPartition, topic_id: Uuid, config: Any, held_in: Uuid | None = None
    ) -> FakeLog | None:
        if not self.has_room or place in self.failed:
            return None
        self.made.append(place)
        self.held_in.append(held_in)
        self.open[place] = FakeLog(place, topic_id, config)
        return self.open[place]

    def get(self, place: TopicPartition) -> FakeLog | None:
        return self.open.get(place)

    def log_dir_of(self, log: FakeLog) -> Any:
        return self.directory

    def delete_log(self, place: TopicPartition) -> None:
        self.deleted.append(place)


class Rig:
    """Partitions that hear of every change of one image."""

    def __init__(self, image: MetadataImage | None = None) -> None:
        self.image = image or cluster(1, 2)
        self.logs = FakeLogs()
        self.flushes: list[TopicPartition] = []
        flusher = SimpleNamespace(request=lambda log: self.flushes.append(log.topic_partition))
        self.partitions = Partitions(
            ME,
            cast("Any", self.logs),
            TopicConfigs(),
            Appender(ManualScheduler()),
            cast("Any", flusher),
        )
        self.partitions.load(self.image)

    def commit(self, *records: Any) -> None:
        delta = MetadataDelta(self.image)
        for record in records:
            delta.replay(record)
        self.image, changes = delta.finish(self.image.offset + len(records), 1)
        for _ in self.partitions.follow(changes, self.image):
            pass

    def create(self, name: str, *replicas: tuple[int, ...], fill: bytes = b".") -> Uuid:
        topic_id = Uuid(name.encode().ljust(16, fill))
        made = [new_partition(self.image, topic_id, *entry) for entry in enumerate(replicas)]
        self.commit(TopicRecord(name, topic_id), *made)
        return topic_id


def test_a_new_log_is_flushed_so_that_it_need_not_keep_its_files_open() -> None:
    rig = Rig()
    rig.create("t", (1,), (2,))
    assert rig.flushes == [TopicPartition("t", 0)]
    again = Rig(rig.image)
    assert again.logs.made == [TopicPartition("t", 0)]
    assert again.flushes == []


def test_what_the_metadata_places_here_is_taken_up() -> None:
    rig = Rig()
    topic_id = rig.create("t", (1, 2), (2, 1), (2,))
    assert len(rig.partitions) == 2
    assert rig.logs.made == [TopicPartition("t", 0), TopicPartition("t", 1)]
    led, followed = rig.partitions.get("t", 0), rig.partitions.get("t", 1)
    assert (led.is_leader, led.leader_epoch) == (True, 0)
    assert not followed.is_leader
    assert (led.in_sync_replicas, led.replica_count) == (2, 2)
    assert rig.partitions.topic_name(topic_id) == "t"
    with pytest.raises(UnknownTopicOrPartitionError):
        rig.partitions.get("t", 2)
    assert rig.partitions.find(TopicPartition("t", 2)) is None


def test_at_start_a_log_is_looked_for_where_it_was() -> None:
    rig = Rig(with_topic(cluster(1), "t", (1,)))
    assert rig.partitions.get("t", 0).is_leader
    assert rig.logs.held_in == [log_dir(1)]
    rig.create("new", (1,))
    assert rig.logs.held_in == [log_dir(1), None]


def test_leadership_comes_and_goes() -> None:
    rig = Rig()
    topic_id = rig.create("t", (1, 2))
    partition = rig.partitions.get("t", 0)
    rig.commit(PartitionChangeRecord(topic_id=topic_id, partition_id=0, leader=2))
    assert not partition.is_leader
    rig.commit(PartitionChangeRecord(topic_id=topic_id, partition_id=0, leader=1, isr=[1]))
    assert rig.partitions.get("t", 0) is partition
    assert partition.is_leader
    assert partition.leader_epoch == rig.image.topic("t").partitions[0].leader_epoch  # type: ignore[union-attr]
    assert partition.leader_epoch > 0
    assert (partition.in_sync_replicas, partition.replica_count) == (1, 2)


def test_added_partitions_are_taken_up() -> None:
    rig = Rig()
    topic_id = rig.create("t", (1,))
    rig.commit(new_partition(rig.image, topic_id, 1, (1,)))
    assert rig.partitions.get("t", 1).is_leader


def test_a_deleted_topic_is_dropped_with_its_logs() -> None:
    rig = Rig()
    topic_id = rig.create("t", (1,), (1,))
    partition = rig.partitions.get("t", 0)
    rig.commit(RemoveTopicRecord(topic_id))
    assert len(rig.partitions) == 0
    assert not partition.is_leader
    assert rig.logs.deleted == [TopicPartition("t", 0), TopicPartition("t", 1)]
    assert rig.partitions.topic_name(topic_id) is None


def test_a_topic_that_is_made_again_is_another_one() -> None:
    rig = Rig()
    old = rig.create("t", (1,))
    before = rig.partitions.get("t", 0)
    again = Uuid(b"again".ljust(16, b"."))
    rig.commit(
        RemoveTopicRecord(old),
        TopicRecord("t", again),
        new_partition(rig.image, again, 0, (1,)),
    )
    after = rig.partitions.get("t", 0)
    assert after is not before
    assert after.topic_id == again
    assert rig.logs.deleted == [TopicPartition("t", 0)]


def test_settings_reach_the_logs() -> None:
    rig = Rig()
    rig.create("t", (1,), (1,))
    rig.create("other", (1,))
    rig.commit(ConfigRecord(2, "t", "max.message.bytes", "777"))
    sizes = [rig.partitions.get(*place).online_log().config.max_message_bytes for place in PLACES]
    assert sizes[:2] == [777, 777]
    assert sizes[2] != 777


def test_settings_reach_a_log_that_catches_up_with_the_cold_tier() -> None:
    rig = Rig()
    waiting: list[tuple[Any, Any]] = []
    rig.partitions.cold_tier = cast(
        "Any",
        SimpleNamespace(
            part_of=lambda place, topic_id: None,
            is_ahead=lambda topic_id, index, log: True,
            catch_up=lambda partition, log: waiting.append((partition, log)),
        ),
    )
    rig.create("t", (1,))
    partition, log = waiting[0]
    assert partition.log is None
    rig.commit(ConfigRecord(2, "t", "max.message.bytes", "777"))
    assert log.config.max_message_bytes == 777


def test_the_cold_tier_hears_of_settings_within_the_turn_of_the_commit() -> None:
    rig = Rig()
    rig.create("t", (1,))
    heard: list[int] = []
    rig.partitions.cold_tier = cast(
        "Any",
        SimpleNamespace(
            settings_changed=lambda led: heard.append(led.online_log().config.max_message_bytes)
        ),
    )
    for size in ("777", "778"):
        rig.commit(ConfigRecord(2, "t", "max.message.bytes", size))
    assert heard == [777, 778]


PLACES = (("t", 0), ("t", 1), ("other", 0))


def test_a_log_that_finds_no_room_is_made_later() -> None:
    rig = Rig()
    rig.logs.has_room = False
    rig.create("t", (1,))
    partition = rig.partitions.get("t", 0)
    assert partition.is_leader
    with pytest.raises(KafkaStorageError):
        partition.online_log()
    rig.partitions.make_missing_logs()
    assert partition.log is None
    rig.logs.has_room = True
    rig.partitions.make_missing_logs()
    log = cast("Any", partition.online_log())
    assert log.epochs == [partition.leader_epoch]
    assert partition.log_dir is rig.logs.directory
    rig.partitions.make_missing_logs()
    assert rig.logs.made == [TopicPartition("t", 0)]


def test_a_topic_deleted_before_its_log_could_be_made() -> None:
    rig = Rig()
    rig.logs.has_room = False
    topic_id = rig.create("t", (1,))
    rig.commit(RemoveTopicRecord(topic_id))
    rig.logs.has_room = True
    rig.partitions.make_missing_logs()
    assert rig.logs.made == []


def test_a_broken_log_is_not_made_anew() -> None:
    rig = Rig()
    rig.logs.failed[TopicPartition("t", 0)] = OSError("broken")
    rig.create("t", (1,))
    rig.logs.failed.clear()
    rig.partitions.make_missing_logs()
    assert rig.partitions.get("t", 0).log is None


def test_a_log_dir_without_room_refuses_produce_for_its_partitions() -> None:
    rig = Rig()

    def refuse() -> None:
        raise KafkaStorageError("full")

    rig.create("t", (1,))
    rig.partitions.get("t", 0).check_room()
    rig.logs.directory.check_room = refuse
    with pytest.raises(KafkaStorageError):
        rig.partitions.get("t", 0).check_room()


def test_a_broker_that_only_registers_holds_nothing() -> None:
    rig = Rig()
    rig.commit(*register_broker(rig.image, registration(3)).records)
    assert len(rig.partitions) == 0
