"""Log directories: identity, clean-shutdown note, checkpoints, space and placement."""

import errno
import logging
import random
from pathlib import Path

import pytest

from tierbroker.base.errors import DataDirError, KafkaStorageError
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import TopicPartition, parse_uuid, uuid_text
from tierbroker.hot.clean_shutdown import CLEAN_SHUTDOWN_FILE
from tierbroker.hot.log_dirs import LogDirs
from tierbroker.hot.meta_properties import (
    InvalidMetaPropertiesError,
    MetaProperties,
    decode_meta_properties,
    encode_meta_properties,
)
from tierbroker.hot.partition_dirs import (
    DirState,
    PartitionDir,
    marked_dir_name,
    parse_partition_dir,
)

CLUSTER = "bXktY2x1c3Rlci1pZC0wMQ"
# As Apache Kafka 4.3.0 writes it.
KAFKA_FILE = (
    b"#\n#Sun Nov 22 14:22:09 UTC 2026\nnode.id=7\n"
    b"directory.id=AAAAAAAAAAAAAAAAAAAAZQ\nversion=1\ncluster.id=bXktY2x1c3Rlci1pZC0wMQ\n"
)
FS = OsFileSystem()


class SmallDisk(OsFileSystem):
    """The real file system, but for the free space that it reports."""

    free = 1000

    def free_bytes(self, path: str) -> int:
        return self.free


class BrokenDisk(OsFileSystem):
    """The real file system, but the free space cannot be asked for."""

    def free_bytes(self, path: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def open_dirs(
    *paths: Path, node_id: int = 7, cluster_id: str | None = None, seed: int = 1
) -> LogDirs:
    return LogDirs.open(
        FS,
        [str(path) for path in paths],
        rng=random.Random(seed),
        node_id=node_id,
        cluster_id=cluster_id,
    )


def test_reads_kafkas_file() -> None:
    assert decode_meta_properties(KAFKA_FILE) == MetaProperties(
        CLUSTER, 7, parse_uuid("AAAAAAAAAAAAAAAAAAAAZQ")
    )


def test_escapes_of_a_properties_file() -> None:
    odd = MetaProperties("a=b:c#d\\e", 0, parse_uuid("AAAAAAAAAAAAAAAAAAAAZQ"))
    assert decode_meta_properties(encode_meta_properties(odd)) == odd
    spelled = b"! note\n  version = 1\ncluster.id: x\\u0041y\nnode.id 3\n"
    assert decode_meta_properties(spelled) == MetaProperties("xAy", 3, None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "version"),
        (b"version=0\nbroker.id=1\n", "ZooKeeper"),
        (b"version=2\n", "version"),
        (b"version=1\nnode.id=1\n", "cluster.id"),
        (b"version=1\ncluster.id=x\nnode.id=-1\n", "node.id"),
        (b"version=1\ncluster.id=x\nnode.id=1\ndirectory.id=abc\n", "directory.id"),
        (
            b"version=1\ncluster.id=x\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAA\n",
            "reserved",
        ),
    ],
)
def test_refuses_unusable_meta_properties(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidMetaPropertiesError, match=reason):
        decode_meta_properties(data)


def test_new_directories_share_a_new_cluster_and_differ_in_id(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path / "a", tmp_path / "deep" / "b")
    first, second = dirs
    assert len(dirs.cluster_id) == 22
    assert first.directory_id != second.directory_id
    assert dirs.by_id(second.directory_id) is second
    dirs.release()
    again = open_dirs(tmp_path / "a", tmp_path / "deep" / "b", seed=2)
    assert again.cluster_id == dirs.cluster_id
    assert [d.directory_id for d in again] == [first.directory_id, second.directory_id]
    again.release()


def test_a_directory_added_later_joins_the_cluster(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path / "a")
    dirs.release()
    both = open_dirs(tmp_path / "new", tmp_path / "a", seed=2)
    assert both.cluster_id == dirs.cluster_id
    both.release()


def test_a_directory_without_directory_id_gets_one(tmp_path: Path) -> None:
    old = b"version=1\ncluster.id=" + CLUSTER.encode() + b"\nnode.id=7\n"
    (tmp_path / "meta.properties").write_bytes(old)
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    assert uuid_text(log_dir.directory_id).encode() in (tmp_path / "meta.properties").read_bytes()
    dirs.release()


def test_a_stock_kafka_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_bytes(KAFKA_FILE)
    dirs = open_dirs(tmp_path)
    assert dirs.cluster_id == CLUSTER
    assert (tmp_path / "meta.properties").read_bytes() == KAFKA_FILE
    dirs.release()


@pytest.mark.parametrize(
    ("node_id", "cluster_id", "words"),
    [(8, None, r"node 7, this broker is node 8.*node\.id=7"), (7, "other", "cluster other")],
)
def test_refuses_a_foreign_directory_and_leaves_it_untouched(
    tmp_path: Path, node_id: int, cluster_id: str | None, words: str
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "meta.properties").write_bytes(KAFKA_FILE)
    with pytest.raises(DataDirError, match=words):
        open_dirs(tmp_path / "new", foreign, node_id=node_id, cluster_id=cluster_id)
    assert not (tmp_path / "new" / "meta.properties").exists()
    open_dirs(foreign).release()  # the locks are free again


def test_refuses_a_copied_directory(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "meta.properties").write_bytes(KAFKA_FILE)
    with pytest.raises(DataDirError, match="copy"):
        open_dirs(tmp_path / "a", tmp_path / "b")


def test_refuses_partitions_without_identity(tmp_path: Path) -> None:
    (tmp_path / "topic-0").mkdir()
    with pytest.raises(DataDirError, match=r"1 partitions but no meta\.properties"):
        open_dirs(tmp_path)


def test_refuses_damaged_identity_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "meta.properties").write_bytes(b"\0\0\0")
    with pytest.raises(DataDirError, match="Restore it from a backup"):
        open_dirs(tmp_path)


def test_refuses_the_same_directory_twice_and_a_file_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataDirError, match="twice"):
        open_dirs(tmp_path / "a", tmp_path / "b" / ".." / "a")
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match=r"log\.dirs"):
        open_dirs(tmp_path / "file")
    with pytest.raises(DataDirError, match="No log directory"):
        open_dirs()


def test_clean_shutdown_is_taken_once(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    assert not log_dir.take_clean_shutdown().clean
    log_dir.write_clean_shutdown(42)
    assert (tmp_path / CLEAN_SHUTDOWN_FILE).read_bytes() == b'{"version":0,"brokerEpoch":42}'
    taken = log_dir.take_clean_shutdown()
    assert (taken.clean, taken.broker_epoch) == (True, 42)
    assert not log_dir.take_clean_shutdown().clean
    dirs.release()


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b'{"brokerEpoch":"x"}', b"\xff"])
def test_unreadable_clean_shutdown_still_counts(tmp_path: Path, data: bytes) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    (tmp_path / CLEAN_SHUTDOWN_FILE).write_bytes(data)
    taken = log_dir.take_clean_shutdown()
    assert (taken.clean, taken.broker_epoch) == (True, -1)
    dirs.release()


def test_checkpoint_round_trip_skips_equal_content(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    points = {TopicPartition("a", 0): 5, TopicPartition("b-c", 12): 0}
    assert log_dir.recovery_points.read() == {}
    log_dir.recovery_points.write(points)
    path = tmp_path / "recovery-point-offset-checkpoint"
    assert path.read_text() == "0\n2\na 0 5\nb-c 12 0\n"
    assert log_dir.recovery_points.read() == points
    assert not log_dir.recovery_points.changed(dict(points))
    path.unlink()
    log_dir.recovery_points.write(dict(points))
    assert not path.exists()
    dirs.release()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"0\n",
        b"0\n2\na 0 5\n",
        b"1\n0\n",
        b"0\n1\na 0 -5\n",
        b"0\n1\na 0\n",
        b"\0" * 64,
        b"\xff\xfe",
    ],
)
def test_corrupt_checkpoint_counts_as_empty_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    (tmp_path / "recovery-point-offset-checkpoint").write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert log_dir.recovery_points.read() == {}
    assert "read again from their start" in caplog.text
    dirs.release()


def test_a_partition_named_twice_takes_the_lower_offset(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    (tmp_path / "recovery-point-offset-checkpoint").write_bytes(b"0\n2\na 0 9\na 0 5\n")
    assert log_dir.recovery_points.read() == {TopicPartition("a", 0): 5}
    dirs.release()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("topic-0", PartitionDir(TopicPartition("topic", 0), DirState.LIVE)),
        ("a-b.c-17", PartitionDir(TopicPartition("a-b.c", 17), DirState.LIVE)),
        ("gone-delete-3", PartitionDir(TopicPartition("gone-delete", 3), DirState.LIVE)),
        ("t-1." + "ab" * 16 + "-delete", PartitionDir(TopicPartition("t", 1), DirState.DELETE)),
        ("t-1." + "ab" * 16 + "-stray", PartitionDir(TopicPartition("t", 1), DirState.STRAY)),
        ("t-1." + "ab" * 16 + "-future", PartitionDir(TopicPartition("t", 1), DirState.FUTURE)),
        ("topic", None),
        ("topic-", None),
        ("topic-01", None),
        ("-0", None),
        ("topic-0-delete", None),
        ("lost+found", None),
        ("meta.properties", None),
    ],
)
def test_partition_dir_names(name: str, found: PartitionDir | None) -> None:
    assert parse_partition_dir(name) == found


def test_marked_names_fit_a_file_system() -> None:
    unique = "0123456789abcdef" * 2
    short = marked_dir_name(TopicPartition("t", 1), unique, DirState.DELETE)
    assert short == f"t-1.{unique}-delete"
    long = marked_dir_name(TopicPartition("t" * 249, 123), unique, DirState.STRAY)
    assert len(long) == 255
    assert parse_partition_dir(long) is not None


def test_placement_takes_the_emptiest_working_directory(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path / "a", tmp_path / "b")
    first, second = dirs
    assert dirs.place({}) is first
    assert dirs.place({first.path: 2, second.path: 1}) is second
    assert second.take_offline(OSError(errno.EIO, "Input/output error"))
    assert not second.take_offline(OSError(errno.EIO, "Input/output error"))
    assert dirs.place({first.path: 2, second.path: 1}) is first
    first.take_offline(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(KafkaStorageError, match="offline"):
        dirs.place({})
    dirs.release()


def test_reserve_refuses_produce_and_recovers(tmp_path: Path) -> None:
    disk = SmallDisk()
    dirs = LogDirs.open(disk, [str(tmp_path)], rng=random.Random(1), node_id=1, reserve_bytes=1001)
    (log_dir,) = dirs
    with pytest.raises(KafkaStorageError, match="1000 bytes free") as caught:
        log_dir.check_room()
    assert caught.value.retriable
    disk.free = 1001
    dirs.refresh_space()
    log_dir.check_room()
    dirs.release()


def test_a_disk_that_does_not_answer_goes_offline(tmp_path: Path) -> None:
    dirs = LogDirs.open(BrokenDisk(), [str(tmp_path)], rng=random.Random(1), node_id=1)
    assert dirs.online == []
    dirs.release()


def test_the_size_of_the_file_system_is_known(tmp_path: Path) -> None:
    dirs = open_dirs(tmp_path)
    (log_dir,) = dirs
    assert 0 < log_dir.free_bytes <= log_dir.total_bytes == FS.total_bytes(str(tmp_path))
    dirs.release()
