"""Apache Kafka's dump tool and metadata shell find nothing wrong with any file we wrote."""

import shutil
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from integration.broker_processes import BrokerProcess, wait_until
from integration.clients import CODECS, Line, client
from integration.conftest import StartBroker, create_topic
from integration.exchange_content import Load, commit, take_seat, write
from integration.java_tools import JavaToolLateError, run_java, run_tool
from integration.log_dump import (
    all_faults,
    batches_of,
    data_files,
    faults_of,
    group_records,
    metadata_text,
)
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.snapshotter import snapshot_batches
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL, encode_records
from tierbroker.controller.state.features import bootstrap_records
from tierbroker.controller.state.tier_record import tier_record
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record
from tierbroker.records.tier.events import TierEvent, TierStoreBound
from tierbroker.records.tier.segment import SegmentArray, TierSegment
from tierbroker.records.tier.state import PartitionTier

WRITERS = ("confluent-kafka", "kafka-python", "aiokafka")
SEGMENT_BYTES = 1 << 20
LINES_PER_TOPIC, LINES_AT_ONCE = 40_000, 4_000
LOOKS_S = (8, 8, 8, 8, 8, 15, 15, 15, 30, 30)
"""How long each look of the metadata shell may take: a machine may be slow, a shell may hang."""


@pytest.fixture(scope="module")
def own_broker(start_broker: StartBroker, lines: list[Line]) -> BrokerProcess:
    """A broker that was filled with rolled segments of every codec, and stopped."""
    broker = start_broker()
    for number, codec in enumerate(CODECS):
        topic = f"disk-{codec}"
        config = {"segment.bytes": str(SEGMENT_BYTES), "index.interval.bytes": "1024"}
        create_topic(broker.bootstrap, topic, 1, config)
        writer = client(WRITERS[number % len(WRITERS)])
        # However fast a client is: no batch takes so much room that a segment has only one, and
        # thereby no entry in its index.
        for first in range(0, LINES_PER_TOPIC, LINES_AT_ONCE):
            some = lines[first : min(first + LINES_AT_ONCE, LINES_PER_TOPIC)]
            writer.write(broker.bootstrap, topic, some, codec)
    create_topic(
        broker.bootstrap, "log-append-time", 1, {"message.timestamp.type": "LogAppendTime"}
    )
    client("confluent-kafka").write(broker.bootstrap, "log-append-time", lines[:1000], "gzip")
    broker.stop()
    return broker


def test_the_dump_tool_finds_no_fault(own_broker: BrokerProcess) -> None:
    faults = all_faults(own_broker.data_dir)
    assert not faults, "\n".join(faults[:50])


def test_segments_follow_each_other_without_a_gap(own_broker: BrokerProcess) -> None:
    for codec in CODECS:
        logs = data_files(own_broker.data_dir / f"disk-{codec}-0", ".log")
        batches = [batch for log in logs for batch in batches_of(log)]
        assert batches[0].base_offset == 0
        assert batches[-1].last_offset == LINES_PER_TOPIC - 1
        assert all(a.last_offset + 1 == b.base_offset for a, b in pairwise(batches))
        assert all(log.stat().st_size <= SEGMENT_BYTES for log in logs)
    rolled = data_files(own_broker.data_dir / "disk-none-0", ".log")
    assert len(rolled) >= 2, "nothing rolled, so nothing was tested"
    indexed = [p for p in data_files(own_broker.data_dir, ".index") if p.stat().st_size]
    assert len(indexed) >= 2, "no offset index has an entry"


def test_files_are_still_sound_after_a_kill_and_recovery(
    start_broker: StartBroker, lines: list[Line]
) -> None:
    broker = start_broker()
    config = {"segment.bytes": str(SEGMENT_BYTES), "index.interval.bytes": "1024"}
    create_topic(broker.bootstrap, "killed", 1, config)
    client("kafka-python").write(broker.bootstrap, "killed", lines[:50_000], "none")
    broker.kill()
    for index in data_files(broker.data_dir / "killed-0", ".index", ".timeindex")[:3]:
        index.unlink()
    broker.start()
    client("confluent-kafka").write(broker.bootstrap, "killed", lines[50_000:60_000], "zstd")
    back = client("confluent-kafka").read(broker.bootstrap, "killed", 0, 60_000)
    assert back == lines[:60_000]
    broker.stop()
    faults = all_faults(broker.data_dir)
    assert not faults, "\n".join(faults[:50])


def test_the_metadata_log_is_kafkas(own_broker: BrokerProcess) -> None:
    (directory,) = own_broker.data_dir.rglob("__cluster_metadata-0")
    text = "\n".join(metadata_text(log) for log in data_files(directory, ".log"))
    for kind in ("TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "FEATURE_LEVEL_RECORD"):
        assert f'"type":"{kind}"' in text, f"no {kind} in the metadata log"
    assert "LeaderChange" in text
    assert '"name":"disk-zstd"' in text
    for snapshot in data_files(directory, ".checkpoint"):
        text = metadata_text(snapshot)
        assert "SnapshotHeader" in text
        assert "SnapshotFooter" in text


@pytest.mark.timeout(600)
def test_the_metadata_shell_reads_the_log(own_broker: BrokerProcess, tmp_path: Path) -> None:
    (directory,) = own_broker.data_dir.rglob("__cluster_metadata-0")
    log = data_files(directory, ".log")[0]
    shell_shows("disk-none", log, tmp_path, "ls", "/image/topics/byName")
    tree = ("tree", "/image/topics/byName/disk-none")
    shell_shows("PartitionRegistration(replicas=[", log, tmp_path, *tree)
    shell_shows("metadataVersion", log, tmp_path, "ls", "/image/features")


@pytest.mark.timeout(600)
def test_the_metadata_shell_reads_a_snapshot(
    start_broker: StartBroker, tmp_path: Path, lines: list[Line]
) -> None:
    """A bound this low makes the broker take a snapshot after a few topics."""
    broker = start_broker({"metadata.log.max.record.bytes.between.snapshots": "2048"})
    for number in range(20):
        create_topic(broker.bootstrap, f"snapshot-{number}", 3)
    (directory,) = broker.data_dir.rglob("__cluster_metadata-0")
    wait_until(lambda: snapshot_of(directory) is not None, "snapshot", timeout_s=90)
    broker.stop()
    snapshot = snapshot_of(directory)
    assert snapshot is not None
    assert "SnapshotFooter" in metadata_text(snapshot)
    shell_shows("snapshot-0", snapshot, tmp_path, "ls", "/image/topics/byName")
    broker.start()
    listed = run_tool("TopicCommand", "--bootstrap-server", broker.bootstrap, "--list").text.split()
    assert {f"snapshot-{number}" for number in range(20)} <= set(listed)
    broker.stop()


@pytest.mark.timeout(600)
def test_events_of_the_tier_do_not_trouble_kafkas_tools(tmp_path: Path) -> None:
    """To them they are records that do nothing, in a log and in a snapshot, small and large."""
    topic_id = Uuid(b"tiered-topic-id!")
    segments = SegmentArray.of(
        [TierSegment(n, n, 0, n, 0, 1000, 1100, n, 7, has_aborted=False) for n in range(2000)]
    )
    events: list[TierEvent] = [TierStoreBound(Uuid(b"s" * 16), Uuid(b"i" * 16))]
    events += PartitionTier(topic_id, 0, 5, segments).pieces()
    records = [
        *bootstrap_records(),
        TopicRecord("before", topic_id),
        *map(tier_record, events),
        TopicRecord("behind", Uuid(b"another-topic-id")),
    ]
    log = tmp_path / f"{0:020}.log"
    values = encode_records(records, METADATA_VERSION_LEVEL)
    log.write_bytes(build_batch([Record(0, 0, None, value) for value in values], leader_epoch=1))
    snapshot = tmp_path / f"{len(records):020}-0000000001.checkpoint"
    batches = snapshot_batches(
        records,
        metadata_version=METADATA_VERSION_LEVEL,
        epoch=1,
        voter_set=None,
        last_contained_ms=0,
        timestamp_ms=0,
        batch_records=100,
    )
    snapshot.write_bytes(b"".join(batches))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for file in (log, snapshot):
        text = metadata_text(file)
        assert text.count('"type":"NO_OP_RECORD"') == len(events) > 3
        assert '"name":"before"' in text
        shell_shows("before", file, scratch, "ls", "/image/topics/byName")
        shell_shows("behind", file, scratch, "ls", "/image/topics/byName")


def test_the_offsets_topic_is_kafkas(start_broker: StartBroker) -> None:
    """Kafka's decoder reads each record that a life of groups leaves behind."""
    broker = start_broker({"offsets.topic.num.partitions": "1"})
    create_topic(broker.bootstrap, "read", 2)
    write(broker.bootstrap, Load("read", 100))
    commit(broker.bootstrap, "plain", {("read", 0): 4, ("read", 1): 0})
    take_seat(broker.bootstrap, "seated", "read", "seat")
    take_seat(broker.bootstrap, "left", "read", None)
    commit(broker.bootstrap, "removed", {("read", 0): 4})
    groups = ("consumer.group.ConsumerGroupCommand", "--bootstrap-server", broker.bootstrap)
    run_tool(*groups, "--delete", "--group", "removed")
    broker.stop()
    logs = data_files(broker.data_dir / "__consumer_offsets-0", ".log")
    assert not [fault for fault in all_faults(broker.data_dir) if "offset" in fault]
    latest = {
        (key["type"], key["data"]["group"], key["data"].get("partition")): value and value["data"]
        for key, value in group_records(logs)
    }
    offset, group = "1", "2"
    plain = latest[offset, "plain", 0]
    assert plain is not None
    assert (plain["offset"], plain["leaderEpoch"]) == (4, -1)
    assert plain["metadata"].startswith("at 4")
    assert len(plain["topicId"]) == 22
    (member,) = latest[group, "seated", None]["members"]
    assert (member["groupInstanceId"], member["clientId"]) == ("seat", "sitter")
    assert member["subscription"]["topics"] == ["read"]
    left = latest[group, "left", None]
    assert (left["members"], left["protocolType"], left["protocol"]) == ([], "consumer", None)
    assert latest[offset, "removed", 0] is None


def snapshot_of(directory: Path) -> Path | None:
    """The newest snapshot that holds more than the beginning of the log."""
    taken = [p for p in data_files(directory, ".checkpoint") if int(p.name[:20]) > 0]
    return taken[-1] if taken else None


def shell_shows(expected: str, file: Path, scratch: Path, *command: str) -> None:
    """A command of the metadata shell prints the expected text.

    The shell works on a copy, since it locks what lies around its file. It runs the command as soon
    as the first record was applied, while a thread of its own still reads the rest: on a busy
    machine the first look comes too early. And where that thread has read everything before the
    shell listens, the shell waits for ever: nothing more comes that would tell it. So there are a
    few looks, and the first ones do not take long.
    """
    copy = scratch / file.name
    shutil.copyfile(file, copy)
    main = "org.apache.kafka.shell.MetadataShell"
    looks = [""]
    for timeout_s in LOOKS_S:
        try:
            looks.append(
                run_java(main, "--snapshot", str(copy), *command, timeout_s=timeout_s).text
            )
        except JavaToolLateError as late:
            looks.append(str(late))
        if expected in looks[-1]:
            return
    raise AssertionError(f"no {expected} in {looks}")


def _flip(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x55]))


def _flip_value_byte(segment: Path) -> list[Path]:
    _flip(segment.with_suffix(".log"), 200)
    return [segment.with_suffix(".log")]


def _shift_an_index_entry(segment: Path) -> list[Path]:
    path = segment.with_suffix(".index")
    entries = bytearray(path.read_bytes())
    offset, position = struct.unpack_from(">ii", entries)
    struct.pack_into(">ii", entries, 0, offset + 1, position)
    path.write_bytes(entries)
    return [path]


def _shift_a_time_entry(segment: Path) -> list[Path]:
    path = segment.with_suffix(".timeindex")
    entries = bytearray(path.read_bytes())
    struct.pack_into(">q", entries, 0, struct.unpack_from(">q", entries)[0] - 1)
    path.write_bytes(entries)
    return [path]


def _put_an_index_entry_before_the_base(segment: Path) -> list[Path]:
    path = segment.with_suffix(".index")
    entries = bytearray(path.read_bytes())
    struct.pack_into(">i", entries, len(entries) - 8, -5)
    path.write_bytes(entries)
    return [path]


@pytest.mark.parametrize(
    ("damage", "options"),
    [
        (_flip_value_byte, ["--deep-iteration"]),
        (_shift_an_index_entry, []),
        (_shift_a_time_entry, []),
        (_put_an_index_entry_before_the_base, ["--index-sanity-check"]),
    ],
)
def test_damage_is_seen(
    own_broker: BrokerProcess,
    tmp_path: Path,
    damage: Callable[[Path], list[Path]],
    options: list[str],
) -> None:
    """The judge is judged: what it must find, it finds."""
    shutil.copytree(own_broker.data_dir / "disk-none-0", tmp_path / "disk-none-0")
    # One with index entries: a large first batch fills a segment without any.
    logs = data_files(tmp_path / "disk-none-0", ".log")
    segment = next(log for log in logs if log.with_suffix(".index").stat().st_size)
    assert not faults_of([segment], "--deep-iteration")
    assert faults_of(damage(segment), *options)


def test_a_damaged_producer_snapshot_is_seen(own_broker: BrokerProcess, tmp_path: Path) -> None:
    written = [p for p in data_files(own_broker.data_dir, ".snapshot") if p.stat().st_size > 46]
    assert written, "no snapshot names a producer, so none was tested"
    copy = tmp_path / written[0].name
    shutil.copyfile(written[0], copy)
    assert not faults_of([copy])
    _flip(copy, copy.stat().st_size - 3)
    assert faults_of([copy])
