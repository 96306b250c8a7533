"""`tierbroker tier verify`: what it says, its exit code, and how it goes on."""

import json
import shutil
from pathlib import Path

import pytest

from tierbroker.cli.main import run

GOLDEN = Path(__file__).parents[2] / "golden" / "cold"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "store"))


def verify(store: Path, *arguments: str) -> int:
    return run(["tier", "verify", f"file://{store}", *arguments])


def test_what_it_takes_is_said_first(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(store, "orders", "--all") == 0
    announced, result = capsys.readouterr().err.splitlines()
    assert announced == (
        "Cluster golden-cluster as of 2023-11-14T22:13:20Z: 7 objects, 4 segments to be read "
        "whole; about 14 requests and 7.0 KiB."
    )
    assert result.startswith("7 objects are as they should be; 4 of the segments")


def test_what_is_wrong_is_listed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = store.rglob("*66.5.11.seg")
    path.unlink()
    assert verify(store, "--json") == 1
    told = capsys.readouterr()
    finding, counts = map(json.loads, told.out.splitlines())
    assert (finding["what"], finding["first_offset"], finding["last_offset"]) == ("missing", 52, 66)
    assert finding["key"].endswith(path.name)
    assert "Put the object back" in finding["next_step"]
    assert (counts["objects"], counts["findings"]) == (7, 1)
    assert f"1 of 7 objects in file://{store} is not as it should be." in told.err


def test_one_of_something_is_not_several(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = store.parent / "verify.json"
    identity = json.loads((store / "head").read_text())
    content = {
        "format": 1,
        "store_id": identity["store_id"],
        "topic": None,
        "share": 1.0,
        "checked_to": ["orders", 0, 51],
        "findings": [],
    }
    kept.write_text(json.dumps(content))
    assert verify(store, "--all", "--resume", str(kept)) == 0
    announced, result = capsys.readouterr().err.splitlines()
    assert ": 1 object, 1 segment to be read whole; about " in announced
    assert result.startswith("1 object is as it should be; 1 of the segments was read whole. ")


def test_progress_is_kept_and_removed_at_the_end(
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = tmp_path / "verify.json"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tierbroker.cli.tier_verify_run.SAVE_EVERY_S", 0.0)
    assert verify(store, "--all", "--resume", "verify.json") == 0
    assert not kept.exists()
    # As a run that was interrupted after two segments leaves it, the first one damaged.
    (path,) = store.rglob("*00019.3.2.seg")
    identity = json.loads((store / "head").read_text())
    content = {
        "format": 1,
        "store_id": identity["store_id"],
        "topic": None,
        "share": 1.0,
        "checked_to": ["orders", 0, 40],
        "findings": [["orders", 0, 0, 19, "missing", path.name, "there is no such object"]],
    }
    kept.write_text(json.dumps(content))
    capsys.readouterr()
    assert verify(store, "--all", "--resume", "verify.json", "--json") == 1
    told = capsys.readouterr()
    assert "behind orders-0 offset 40: 2 objects" in told.err
    assert json.loads(told.out.splitlines()[0])["key"] == path.name
    assert not kept.exists()


def test_progress_of_another_verification_is_refused(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "verify.json"
    kept.write_text("rubbish")
    assert verify(store, "--resume", str(kept)) == 1
    assert "keeps no progress" in capsys.readouterr().err
    content = {
        "format": 1, "store_id": "other", "topic": None, "share": 0.01,
        "checked_to": ["orders", 0, 40], "findings": [],
    }  # fmt: skip
    kept.write_text(json.dumps(content))
    assert verify(store, "--resume", str(kept)) == 1
    assert "of another store, topic or sample" in capsys.readouterr().err


def test_an_unknown_topic(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(store, "ordres") == 1
    assert "Did you mean 'orders'" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_told_before_the_work(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "not there" / "verify.json"
    assert verify(store, "--resume", str(path)) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"Error: The progress cannot be kept in {path}: No such file")
    assert "Name another file for --resume." in told
