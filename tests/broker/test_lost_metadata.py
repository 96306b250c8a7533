"""A metadata log that is shorter than it was is refused: nothing starts empty over old data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tierbroker
from tests.broker.wire_calls import create_topic
from tests.broker.wire_client import WireClient
from tierbroker.base.errors import DataDirError
from tierbroker.base.ids import Uuid
from tierbroker.controller.records.topic_record import TopicRecord
from tierbroker.controller.state.codec import METADATA_VERSION_LEVEL, encode_records
from tierbroker.records.batch import walk
from tierbroker.records.builder import build_batch
from tierbroker.records.record import Record

METADATA = "__cluster_metadata-0"
LOG = "00000000000000000000.log"


def run_once(data: Path, topic: str | None = None) -> None:
    """Start and stop in order; make a topic in between."""
    with tierbroker.Broker(data) as broker:
        if topic is not None:
            with WireClient(broker.bootstrap) as client:
                create_topic(client, topic)


def empty_log(data: Path) -> None:
    (data / METADATA / LOG).write_bytes(b"")


def rubbish_log(data: Path) -> None:
    (data / METADATA / LOG).write_bytes(b"\x07" * 7)


def no_directory(data: Path) -> None:
    shutil.rmtree(data / METADATA)


@pytest.mark.parametrize("lose", [empty_log, rubbish_log, no_directory])
@pytest.mark.parametrize("clean", [True, False])
def test_an_empty_metadata_log_beside_partitions(
    tmp_path: Path, lose: Callable[[Path], None], clean: bool
) -> None:
    run_once(tmp_path, "kept")
    lose(tmp_path)
    if not clean:
        (tmp_path / ".kafka_cleanshutdown").unlink()
    with pytest.raises(DataDirError, match="restore __cluster_metadata-0 from a backup"):
        run_once(tmp_path)
    assert (tmp_path / "kept-0").is_dir()
    # Refusing changed nothing, so it is refused again.
    with pytest.raises(DataDirError, match="restore __cluster_metadata-0 from a backup"):
        run_once(tmp_path)


def test_a_metadata_log_that_lost_its_end(tmp_path: Path) -> None:
    run_once(tmp_path, "kept")
    shorter = (tmp_path / METADATA / LOG).read_bytes()
    run_once(tmp_path)
    (tmp_path / METADATA / LOG).write_bytes(shorter)
    with pytest.raises(DataDirError, match="its end is lost"):
        run_once(tmp_path)


def test_a_whole_one_is_no_trouble(tmp_path: Path) -> None:
    run_once(tmp_path, "kept")
    run_once(tmp_path)
    (tmp_path / ".kafka_cleanshutdown").unlink()
    run_once(tmp_path)
    assert (tmp_path / "kept-0").is_dir()


def test_a_metadata_log_that_contradicts_itself(tmp_path: Path) -> None:
    """A second topic of one name: the broker says so and ends, whatever waited for its start."""
    run_once(tmp_path, "kept")
    log = tmp_path / METADATA / LOG
    *_, (_, last) = walk(log.read_bytes())
    twin = encode_records([TopicRecord("kept", Uuid(b"twin" * 4))], METADATA_VERSION_LEVEL)
    with log.open("ab") as file:
        file.write(
            build_batch(
                [Record(0, last.max_timestamp, None, value) for value in twin],
                base_offset=last.next_offset,
                leader_epoch=last.partition_leader_epoch,
            )
        )
    with pytest.raises(DataDirError, match="creates topic 'kept', which exists"):
        run_once(tmp_path)
