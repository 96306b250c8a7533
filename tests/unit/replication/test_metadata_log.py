"""The metadata log on a real file system: formats, restarts, crashes, snapshots."""

import json
import os
import random
from pathlib import Path

import pytest

from tests.raft_memory import RecordingTransport
from tierbroker.base.clock import ManualClock
from tierbroker.base.errors import KafkaStorageError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import Uuid
from tierbroker.controller.config import ControllerConfig
from tierbroker.controller.driver import MetadataDriver
from tierbroker.controller.errors import MetadataCorruptError
from tierbroker.controller.raft.batches import open_batches
from tierbroker.controller.raft.types import (
    OffsetAndEpoch,
    QuorumState,
    ReplicaKey,
    Voter,
    VoterEndpoint,
    VoterSet,
)
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.features import bootstrap_records
from tierbroker.controller.state.result import Result
from tierbroker.hot.file_cache import FileCache
from tierbroker.hot.flush import GroupFlusher
from tierbroker.hot.flush_strategy import PerFileFlush
from tierbroker.hot.log import Log
from tierbroker.replication.metadata_log import (
    MetadataLog,
    decode_quorum_state,
    encode_quorum_state,
    format_metadata_log,
    metadata_directory,
    open_metadata_log,
    read_bootstrap,
    snapshot_name,
)

LOCAL = ReplicaKey(1, Uuid(b"d" * 16))
VOTERS = VoterSet((Voter(LOCAL, (VoterEndpoint("CONTROLLER", "localhost", 19093),)),))
NOW_MS = 1_795_356_469_503


class Place:
    """A log directory and what is needed to run a metadata log in it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.fs = OsFileSystem()
        self.clock = ManualClock(NOW_MS)
        self.failures: list[OSError] = []

    @property
    def directory(self) -> Path:
        return Path(metadata_directory(self.path))

    def format(self) -> bool:
        return format_metadata_log(self.fs, self.path, VOTERS, bootstrap_records(), NOW_MS)

    def storage(self, **kwargs: object) -> MetadataLog:
        flusher = GroupFlusher(
            PerFileFlush(self.fs), InlineExecutor(), lambda _, error: self.failures.append(error)
        )
        return open_metadata_log(
            FileCache(self.fs),
            self.path,
            flusher=flusher,
            clock=self.clock,
            rng=random.Random(1),
            **kwargs,  # type: ignore[arg-type]
        )

    def driver(
        self, storage: MetadataLog, config: ControllerConfig | None = None
    ) -> MetadataDriver:
        driver = MetadataDriver(
            local=LOCAL,
            default_voters=VoterSet((Voter(ReplicaKey(9)),)),
            storage=storage,
            transport=RecordingTransport(),
            executor=InlineExecutor(),
            clock=self.clock,
            rng=random.Random(1),
            bootstrap=read_bootstrap(self.fs, self.path) or (),
            config=config,
        )
        driver.start().result()
        return driver


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def create(driver: MetadataDriver, name: str) -> None:
    record = TopicRecord(name, Uuid(name.encode().ljust(16, b".")))
    driver.submit(lambda image: Result((record,), None)).result()


def test_format_writes_what_kafka_writes(place: Place) -> None:
    assert place.format()
    assert sorted(os.listdir(place.path)) == ["__cluster_metadata-0", "bootstrap.checkpoint"]
    assert os.listdir(place.directory) == ["00000000000000000000-0000000000.checkpoint"]
    assert not place.format()
    assert read_bootstrap(place.fs, place.path) == bootstrap_records()


def test_read_bootstrap_without_one(place: Place) -> None:
    assert read_bootstrap(place.fs, place.path) is None


def test_the_voters_of_the_first_snapshot_count(place: Place) -> None:
    place.format()
    driver = place.driver(place.storage())
    assert driver.core.voters == VOTERS
    data = driver._storage.read(0, 1 << 20, 100)
    first = next(open_batches(data, "log"))
    assert [kind.name for kind, _ in first.control] == [
        "LEADER_CHANGE",
        "KRAFT_VERSION",
        "KRAFT_VOTERS",
    ]


def test_topics_survive_a_restart_and_a_crash(place: Place) -> None:
    place.format()
    driver = place.driver(place.storage())
    create(driver, "a")
    driver.stop().result()
    driver = place.driver(place.storage(clean=True))
    assert set(driver.image.topics.by_name) == {"a"}
    create(driver, "b")
    # No stop: the next owner finds an unclean log.
    driver = place.driver(place.storage())
    assert set(driver.image.topics.by_name) == {"a", "b"}
    assert driver.core.epoch == 3
    assert place.failures == []


def test_a_torn_tail_is_cut(place: Place) -> None:
    place.format()
    driver = place.driver(place.storage())
    create(driver, "a")
    with (place.directory / "00000000000000000000.log").open("ab") as file:
        file.write(b"\0" * 30)
    driver = place.driver(place.storage())
    assert set(driver.image.topics.by_name) == {"a"}
    create(driver, "b")


def test_snapshots_and_segments_go_when_newer_ones_cover_them(place: Place) -> None:
    place.format()
    config = ControllerConfig(snapshot_interval_records=20, snapshot_batch_records=7)
    driver = place.driver(place.storage(segment_bytes=2000), config)
    for number in range(100):
        create(driver, f"topic{number}")
    names = os.listdir(place.directory)
    assert "00000000000000000000.log" not in names
    snapshots = [name for name in names if name.endswith(".checkpoint")]
    assert len(snapshots) == 2
    assert not [name for name in names if name.endswith((".part", ".deleted"))]
    again = place.driver(place.storage(segment_bytes=2000), config)
    assert again.image.topics == driver.image.topics
    assert again.core.log.start == min(again._storage.snapshots())


def test_a_snapshot_that_leaves_no_room_for_a_new_segment_is_no_fault(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.format()
    config = ControllerConfig(snapshot_interval_records=20)
    storage = place.storage(segment_bytes=1_000_000)
    driver = place.driver(storage, config)

    def no_room() -> None:
        raise KafkaStorageError("no space left")

    for number in range(60):
        create(driver, f"topic{number}")
    monkeypatch.setattr(Log, "roll", lambda log: no_room())
    newest = storage.snapshots()[-1]
    storage.delete_before(newest)
    assert storage.snapshots() == (newest,)
    assert storage.log_start_offset == newest.offset


def test_an_unfinished_snapshot_is_removed(place: Place) -> None:
    place.format()
    part = place.directory / (snapshot_name(OffsetAndEpoch(4, 1)) + ".part")
    part.write_bytes(b"half")
    place.storage()
    assert not part.exists()


def test_an_abandoned_snapshot_leaves_nothing(place: Place) -> None:
    place.format()
    storage = place.storage()
    writer = storage.create_snapshot(OffsetAndEpoch(4, 1))
    writer.append(b"half")
    writer.abandon()
    assert not [name for name in os.listdir(place.directory) if "0004" in name]
    storage.create_snapshot(OffsetAndEpoch(5, 1)).abandon()


def test_older_snapshots_left_by_a_crash_do_not_matter(place: Place) -> None:
    place.format()
    config = ControllerConfig(snapshot_interval_records=20)
    driver = place.driver(place.storage(segment_bytes=1000), config)
    for number in range(100):
        create(driver, f"topic{number}")
    old = place.directory / snapshot_name(OffsetAndEpoch(0, 0))
    old.write_bytes((place.directory / snapshot_name(driver._storage.snapshots()[0])).read_bytes())
    again = place.driver(place.storage(segment_bytes=1000), config)
    assert again.image.topics == driver.image.topics


def test_quorum_state_is_kafkas_json() -> None:
    state = QuorumState(epoch=1, leader_id=1)
    data = encode_quorum_state(state)
    assert data == (
        b'{"leaderId":1,"leaderEpoch":1,"votedId":-1,'
        b'"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}'
    )
    assert decode_quorum_state(data, "x") == state
    voted = QuorumState(epoch=7, voted=ReplicaKey(3, Uuid(b"v" * 16)))
    assert decode_quorum_state(encode_quorum_state(voted), "x") == voted


def test_quorum_state_of_version_0_is_read() -> None:
    old = {
        "clusterId": "",
        "leaderId": -1,
        "leaderEpoch": 4,
        "votedId": 2,
        "appliedOffset": 0,
        "currentVoters": [{"voterId": 2}],
        "data_version": 0,
    }
    state = decode_quorum_state(json.dumps(old).encode(), "x")
    assert state == QuorumState(epoch=4, voted=ReplicaKey(2))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"leaderId":1}'])
def test_a_broken_quorum_state_is_refused(data: bytes) -> None:
    with pytest.raises(MetadataCorruptError, match="vote twice"):
        decode_quorum_state(data, "quorum-state")


def test_a_newer_quorum_state_is_refused() -> None:
    data = encode_quorum_state(QuorumState()).replace(b'version":1', b'version":2')
    with pytest.raises(MetadataCorruptError, match="newer"):
        decode_quorum_state(data, "quorum-state")
