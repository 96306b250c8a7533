import shlex
from pathlib import Path

import pytest

from tierbroker.base.clock import SystemClock
from tierbroker.base.errors import DataDirError
from tierbroker.base.executor import InlineExecutor
from tierbroker.base.fs import OsFileSystem
from tierbroker.base.ids import Uuid
from tierbroker.base.story import tell
from tierbroker.cold.head import CheckpointName, Head, write_head
from tierbroker.cold.stores.directory import DirectoryStore
from tierbroker.node.empty_disk import refuse_lost_cluster
from tierbroker.node.settings import Settings

CHECKPOINT = CheckpointName("c/i/checkpoints/1.ckpt", 10, 1, 7, 4, 1)


@pytest.fixture
def cold(tmp_path: Path) -> Path:
    return tmp_path / "cold"


def keep(cold: Path, *checkpoints: CheckpointName) -> None:
    store = DirectoryStore(str(cold), InlineExecutor(), OsFileSystem(), SystemClock())
    head = Head("lost", Uuid(bytes(15) + b"s"), Uuid(bytes(15) + b"i"), checkpoints)
    tell(write_head(store, head, None)).result()


def settings(data: Path, cold: Path) -> Settings:
    return Settings.load({"log.dirs": str(data), "cold.url": f"file://{cold}"}, {})


@pytest.mark.parametrize("made", [False, True])
async def test_the_restore_that_is_named_has_an_empty_directory(
    tmp_path: Path, cold: Path, *, made: bool
) -> None:
    keep(cold, CHECKPOINT)
    data = tmp_path / "data"
    if made:
        data.mkdir()
    command = f"tierbroker restore --from file://{cold} --data {data}"
    with pytest.raises(DataDirError, match=r"cluster lost \(checkpoint 4\)") as refused:
        await refuse_lost_cluster(settings(data, cold))
    assert command in str(refused.value)
    assert list(data.iterdir()) == [] if made else not data.exists()


async def test_the_restore_that_is_named_reaches_the_store(tmp_path: Path, cold: Path) -> None:
    keep(cold, CHECKPOINT)
    data = tmp_path / "with a space"
    flags = {
        "log.dirs": str(data),
        "cold.url": f"file://{cold}",
        "cold.threads": "3",
        "cold.s3.endpoint": "http://127.0.0.1:9000",
        "cold.s3.access.key.id": "me",
        "cold.s3.secret.access.key": "hidden",
    }
    with pytest.raises(DataDirError) as refused:
        await refuse_lost_cluster(Settings.load(flags, {}))
    told = str(refused.value)
    (line,) = (line for line in told.splitlines() if "tierbroker restore" in line)
    assert shlex.split(line) == [
        *("tierbroker", "restore", "--from", f"file://{cold}", "--data", str(data)),
        *("--set", "cold.threads=3", "--set", "cold.s3.endpoint=http://127.0.0.1:9000"),
    ]
    assert "TIERBROKER_COLD_S3_ACCESS_KEY_ID, TIERBROKER_COLD_S3_SECRET_ACCESS_KEY" in told
    assert "hidden" not in told


async def test_nothing_to_restore_is_no_hindrance(tmp_path: Path, cold: Path) -> None:
    await refuse_lost_cluster(settings(tmp_path / "data", cold))
    assert not cold.exists()
    keep(cold)  # no checkpoint yet
    await refuse_lost_cluster(settings(tmp_path / "data", cold))


async def test_a_directory_with_data_is_the_starts_to_judge(tmp_path: Path, cold: Path) -> None:
    keep(cold, CHECKPOINT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("x")
    await refuse_lost_cluster(settings(tmp_path / "data", cold))


async def test_a_store_that_does_not_answer_is_left_to_the_start(
    tmp_path: Path, cold: Path
) -> None:
    cold.mkdir()
    (cold / "head").write_text("rubbish")
    await refuse_lost_cluster(settings(tmp_path / "data", cold))
