"""The Python interface to an archive, on the golden store."""

from pathlib import Path

import pytest

import tierbroker.archive
from tests.cold_store import CLUSTER, PLAIN
from tierbroker.archive import ArchiveSession, open_archive
from tierbroker.base.errors import InvalidConfigError, KafkaStorageError
from tierbroker.cold.errors import StoreMismatchError

GOLDEN = Path(__file__).parents[2] / "golden" / "cold"
URL = f"file://{GOLDEN}"


def test_records_with_all_they_have() -> None:
    with open_archive(URL) as archive:
        assert (archive.cluster_id, archive.topics) == (CLUSTER, ["orders"])
        assert archive.offsets("orders") == {0: (5, 67)}
        records = list(archive.records("orders"))
    assert [record.offset for record in records] == [*range(5, 40), *range(52, 62), 63, 64]
    last, expected = records[-1], PLAIN[-1]
    assert (last.topic, last.partition, last.offset) == ("orders", 0, 64)
    assert (last.timestamp_ms, last.key, last.value, last.headers) == expected[1:]


def test_parts_and_times() -> None:
    with open_archive(URL) as archive:
        found = archive.records("orders", 0, start=38, end=53, uncommitted=True)
        assert [record.offset for record in found] == [38, 39, *range(41, 51), 52]
        assert archive.offset_for_time("orders", 0, 2000) == 63
        assert archive.offset_for_time("orders", 0, 9000) is None
        assert next(archive.records("orders", 0, start=60)).offset == 60
        with pytest.raises(KeyError, match="orders-7"):
            next(archive.records("orders", 7))
        with pytest.raises(KeyError):
            archive.offsets("nothing")


def test_reading_may_be_left_in_the_middle() -> None:
    session: ArchiveSession
    with open_archive(URL) as session:
        records = session.records("orders")
        assert next(records).offset == 5
    with open_archive(URL) as session:
        assert next(session.records("orders")).offset == 5


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreMismatchError, match="holds no cluster"),
        open_archive(f"file://{tmp_path}"),
    ):
        pass
    with pytest.raises(InvalidConfigError), open_archive("ftp://x"):
        pass


def test_a_missing_object_is_named(tmp_path: Path) -> None:
    import shutil

    store = Path(shutil.copytree(GOLDEN, tmp_path / "store"))
    (path,) = store.rglob("*66.5.11.seg")
    path.unlink()
    with open_archive(f"file://{store}") as archive:
        records = archive.records("orders", start=39)
        assert next(records).offset == 39
        with pytest.raises(KafkaStorageError, match=path.name):
            list(records)


def test_the_example_of_the_package_runs(capsys: pytest.CaptureFixture[str]) -> None:
    doc = tierbroker.archive.__doc__ or ""
    lines = [line[4:] for line in doc.splitlines() if line.startswith("    ")]
    exec("\n".join(lines).replace("s3://bucket/prefix", URL), {})
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 47
    assert out[-1] == "0 64 b'plain 1'"
