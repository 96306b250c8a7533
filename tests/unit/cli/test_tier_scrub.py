"""`tierbroker tier scrub`: what it lists, deletes and says."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from tierbroker.cli.main import run

GOLDEN = Path(__file__).parents[2] / "golden" / "cold"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "store"))


@pytest.fixture
def orphan(store: Path) -> Path:
    (known,) = store.rglob("*66.5.11.seg")
    path = known.with_name("00000000000000000067-00000000000000000069.5.3.seg")
    path.write_bytes(b"given up")
    return path


def scrub(store: Path, *arguments: str) -> int:
    return run(["tier", "scrub", f"file://{store}", *arguments])


def test_orphans_are_listed_and_deleted_on_demand(
    store: Path, orphan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scrub(store, "--older-than", "0s") == 0
    told = capsys.readouterr()
    assert told.out.split("\t")[:3] == [str(orphan.relative_to(store)), "segment", "8"]
    assert "1 orphan of 8 bytes." in told.err
    assert "7 objects count." in told.err
    assert orphan.exists()
    assert scrub(store, "--older-than", "0s", "--delete", "--json") == 0
    row, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["key"] == str(orphan.relative_to(store))
    assert (summary["orphans"], summary["deleted"], summary["alive"]) == (1, 1, 7)
    assert not orphan.exists()
    assert run(["tier", "verify", f"file://{store}", "--all"]) == 0


def test_the_command_that_deletes_deletes_what_was_listed(
    store: Path, orphan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        scrub(store, "--older-than", "0s", "--earlier-incarnations", "--set", "cold.threads=3") == 0
    )
    line = capsys.readouterr().err.splitlines()[-1]
    words = shlex.split(line.removeprefix("To delete them: "))
    assert words[:5] == ["tierbroker", "tier", "scrub", f"file://{store}", "--delete"]
    assert "--earlier-incarnations" in words
    assert words[-2:] == ["--set", "cold.threads=3"]
    assert run(words[1:]) == 0
    assert not orphan.exists()


def test_what_is_young_stays(store: Path, orphan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scrub(store, "--delete") == 0
    assert "1 object is an orphan, but younger" in capsys.readouterr().err
    assert orphan.exists()


def test_a_store_without_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scrub(tmp_path, "--delete") == 1
    assert "holds no cluster" in capsys.readouterr().err
