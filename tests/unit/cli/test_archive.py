"""`tierbroker archive` against a golden store on disk: what it writes and how it fails."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cold_store import ORDERS, TAKEN_MS, golden_store
from tierbroker.cli import archive_cat
from tierbroker.cli.archive import CatOptions
from tierbroker.cli.main import run
from tierbroker.cold.archive import Archive
from tierbroker.records.tier.events import TierRetire
from tierbroker.records.tier.state import PartitionTier

GOLDEN = Path(__file__).parents[2] / "golden" / "cold"
URL = f"file://{GOLDEN}"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "store"))


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_records_are_written_like_those_of_consume(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "cat", URL, "orders", "--from", "-4", "--json"]) == 0
    assert [json.loads(line) for line in lines(capsys)] == [
        {
            "topic": "orders",
            "partition": 0,
            "offset": 63 + number,
            "timestamp": 2000 + number,
            "key": "key",
            "value": f"plain {number}",
            "headers": [{"key": "h", "value": "x"}],
        }
        for number in range(2)
    ]
    assert run(["archive", "cat", URL, "orders", "--from", "63", "--key-separator", "="]) == 0
    assert lines(capsys) == ["key=plain 0", "key=plain 1"]


def test_where_to_start_and_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, offsets in (
        (["--to", "8"], [5, 6, 7]),
        (["--from", "38", "--to", "53"], [38, 39, 52]),
        (["--from", "38", "--to", "53", "--uncommitted"], [38, 39, *range(41, 51), 52]),
        (["--from", "@1081", "--max", "2"], [9, 10]),
        (["--from", "@2001"], [64]),
        (["--from", "@3000"], []),
        (["--from", "0", "-n", "1"], [5]),
        (["-p", "0", "--from", "64"], [64]),
    ):
        assert run(["archive", "cat", URL, "orders", "--json", *arguments]) == 0
        assert [json.loads(line)["offset"] for line in lines(capsys)] == offsets, arguments


def test_what_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "ls", URL, "--json"]) == 0
    (row,) = map(json.loads, lines(capsys))
    assert row == {
        "topic": "orders",
        "partition": 0,
        "first_offset": 5,
        "last_offset": 66,
        "first_time": "1970-01-01T00:00:01Z",
        "last_time": "1970-01-01T00:00:02Z",
        "segments": 4,
        "bytes": 3519,
        "not_uploaded": 3,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cat", URL, "order"], "has no topic 'order'. Did you mean 'orders'?"),
        (["ls", URL, "nothing"], "tierbroker archive ls"),
        (["cat", URL, "orders", "-p", "3"], "there is something of partition 0"),
        (["ls", f"file://{GOLDEN.parent}"], "holds no cluster"),
        (["ls", "ftp://x"], "ftp"),
    ],
)
def test_what_cannot_be_read_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["archive", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_what_makes_no_sense_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "cat", URL, "orders", "--from", "end"]) == 2
    assert run(["archive", "cat", URL, "orders", "--json", "--key-separator", "x"]) == 2
    capsys.readouterr()


def test_a_damaged_object_is_named_with_the_next_step(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = copied.rglob("*66.5.11.seg")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert run(["archive", "cat", f"file://{copied}", "orders", "--json"]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 35
    assert path.name in told.err
    assert "tier verify" in told.err


def test_a_newest_checkpoint_that_is_gone_is_told_and_passed_over(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (newest,) = copied.rglob("*-1.ckpt")
    newest.unlink()
    assert run(["archive", "ls", f"file://{copied}", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["last_offset"] == 40
    assert newest.name in told.err
    assert "Taking one before" in told.err
    assert run(["tier", "verify", f"file://{copied}", "--json"]) == 1
    finding, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert (finding["topic"], finding["what"]) == (None, "missing")
    assert run(["tier", "scrub", f"file://{copied}"]) == 1
    assert "nothing is scrubbed" in capsys.readouterr().err


def test_nothing_is_written(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in [copied, *copied.rglob("*")]}
    assert run(["archive", "cat", f"file://{copied}", "orders"]) == 0
    assert run(["archive", "ls", f"file://{copied}"]) == 0
    assert {path: path.stat().st_mtime_ns for path in [copied, *copied.rglob("*")]} == before
    capsys.readouterr()


def test_what_retention_removes_meanwhile_is_told(
    copied: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that goes on: the objects that the first checkpoint names go while it is read."""
    tiers = archive_cat._tiers

    def retire(options: CatOptions, archive: Archive) -> list[PartitionTier]:
        made = golden_store()
        made.apply(TierRetire(ORDERS, 0, 5, 55, TAKEN_MS))
        made.checkpoint()
        for key, data in made.objects.items():
            (copied / key).write_bytes(data)
        for path in copied.rglob("*.seg"):
            if "66.5.11" not in path.name:
                path.unlink()
        return tiers(options, archive)

    monkeypatch.setattr(archive_cat, "_tiers", retire)
    assert run(["archive", "cat", f"file://{copied}", "orders", "--json"]) == 0
    told = capsys.readouterr()
    offsets = [json.loads(line)["offset"] for line in told.out.splitlines()]
    assert offsets == [*range(55, 62), 63, 64]
    assert "orders-0: retention has removed the offsets 5 to 54 meanwhile." in told.err
