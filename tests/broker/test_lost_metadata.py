"""A metadata log that is shorter than it was is refused: nothing starts empty over old data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tierbroker
from tests.broker.wire_calls import create_topic
from tests.broker.wire_client import WireClient
from tierbroker.base.errors import DataDirError

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
