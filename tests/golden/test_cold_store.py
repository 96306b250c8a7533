"""The format of the cold tier: every kind of object is written as it was published, and read.

`cold/` is a store as `tests/cold_store.py` makes it. A change of its bytes is a change of the
format that docs/cold-format.md describes: readers of others would not understand it. If it is
meant, `python -m tests.golden.test_cold_store` writes the files anew.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cold_store import ABORTED, CLUSTER, LINEAGE, PLAIN, SECOND, STORE_ID, golden_store
from tierbroker.cold.checkpoint_object import parse_checkpoint
from tierbroker.cold.container import ENTRY_BYTES, FOOTER_BYTES, SectionKind
from tierbroker.cold.head import decode_head
from tierbroker.cold.manifest import parse_manifest
from tierbroker.cold.segment_object import parse_tail, read_about
from tierbroker.records.tier.segment import SegmentArray

FOLDER = Path(__file__).with_name("cold")
PAGE = Path(__file__).parents[2] / "docs" / "cold-format.md"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "read_cold.py"


def stored(suffix: str) -> list[Path]:
    return sorted(path for path in FOLDER.rglob(f"*{suffix}"))


def test_the_same_bytes_are_written() -> None:
    made = golden_store().objects
    kept = {
        str(path.relative_to(FOLDER)): path.read_bytes()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    assert sorted(made) == sorted(kept)
    for key, data in made.items():
        assert data == kept[key], f"{key} is written in another form than the published one"


def test_the_head_is_read() -> None:
    head = decode_head((FOLDER / "head").read_bytes())
    assert (head.cluster_id, head.store_id, head.incarnation) == (CLUSTER, STORE_ID, SECOND)
    assert [name.sequence for name in head.checkpoints] == [1, 0]
    assert (FOLDER / head.checkpoints[0].key).stat().st_size == head.checkpoints[0].size_bytes


def test_a_segment_is_read() -> None:
    (path,) = stored("041-00000000000000000051.3.9.seg")
    segment = golden_store().tier().segments[0]
    data = path.read_bytes()
    tail = parse_tail(data[segment.log_bytes :], 41, segment.log_bytes)
    assert tail.aborted == (ABORTED,)
    assert tail.lineage == LINEAGE[:1]
    assert tail.position_of(51) == len(data[: segment.log_bytes]) - 78
    assert [producer.producer_id for producer in tail.producer_entries()] == [7]
    about = read_about(data, len(data))
    assert (about["topic"], about["base_offset"], about["intent_offset"]) == ("orders", 41, 9)


def test_a_manifest_is_read() -> None:
    (path,) = stored(".man")
    manifest = parse_manifest(path.read_bytes())
    assert [(entry.base_offset, entry.end_offset) for entry in manifest.segments] == [
        (0, 19),
        (20, 40),
    ]
    assert isinstance(manifest.segments, SegmentArray)


def test_a_checkpoint_is_read() -> None:
    sections = parse_checkpoint(stored("-1.ckpt")[0].read_bytes())
    (offset,) = map(json.loads, bytes(sections.group_offsets).splitlines())
    (end,) = map(json.loads, bytes(sections.log_ends).splitlines())
    assert (offset["group"], offset["offset"], end["end"]) == ("billing", 42, 70)
    assert b"orders" in bytes(sections.metadata)


def read_by_the_document(directory: Path, topic: str) -> subprocess.CompletedProcess[str]:
    """Isolated: what the script imports is not this repository."""
    return subprocess.run(
        [sys.executable, "-I", str(EXAMPLE), str(directory), topic],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_reader_made_from_the_document_alone_reads_all_records() -> None:
    done = read_by_the_document(FOLDER, "orders")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    # From the log start on; without the aborted ones, without the markers.
    assert [record["offset"] for record in records] == [*range(5, 40), *range(52, 62), 63, 64]
    for record in records[:-2]:
        number = (record["offset"] - 2 * (record["offset"] > 50)) % 10
        assert record["timestamp"] == 1000 + number * number
        assert record["key"] == (None if number % 3 == 0 else f"key {number}")
        assert record["value"] == (None if number % 4 == 3 else "value value value value " * number)
        assert record["headers"] == [[f"h{number}", None if number % 2 == 0 else "x"]]
    assert [(r["offset"], r["timestamp"], r["value"]) for r in records[-2:]] == [
        (plain.offset, plain.timestamp_ms, plain.value.decode()) for plain in PLAIN
    ]


def test_every_block_of_the_page_is_true(tmp_path: Path) -> None:
    keys, frame, command = re.findall(r"^```(?:sh)?\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    forms = [
        re.escape(form).replace(r"\{", "{").replace(r"\}", "}").replace(r"\ ", " ")
        for form in keys.splitlines()
    ]
    patterns = [re.compile(re.sub(r"\{[a-z ]+\}", r"[\\w-]+", form)) for form in forms]
    for path in (path for path in FOLDER.rglob("*") if path.is_file()):
        key = str(path.relative_to(FOLDER))
        assert sum(bool(pattern.fullmatch(key)) for pattern in patterns) == 1, key
    sizes = [int(number) for number in re.findall(r"(\d+) bytes", frame)]
    assert sizes == [ENTRY_BYTES, FOOTER_BYTES]
    command = command.replace("DIRECTORY", str(FOLDER)).replace("TOPIC", "orders")
    program, *arguments = command.split()
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=PAGE.parents[1], capture_output=True, check=True
    )
    assert len(done.stdout.splitlines()) == 47


def test_the_page_names_every_section() -> None:
    named = {
        SectionKind(int(number)).name: name
        for number, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", PAGE.read_text(), re.M)
    }
    assert named == {kind.name: kind.name for kind in SectionKind}


def test_the_reader_imports_nothing_of_the_broker() -> None:
    imported = re.findall(r"^\s*(?:import|from) (\w+)", EXAMPLE.read_text(), re.MULTILINE)
    assert "tierbroker" not in imported


@pytest.mark.parametrize("suffix", [".seg", ".man", "-1.ckpt"])
def test_the_reader_notices_damage(tmp_path: Path, suffix: str) -> None:
    store = tmp_path / "store"
    shutil.copytree(FOLDER, store)
    for path in store.rglob(f"*{suffix}"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    done = read_by_the_document(store, "orders")
    assert done.returncode == 1
    assert "does not match its checksum" in done.stderr


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    for key, data in golden_store().objects.items():
        (FOLDER / key).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / key).write_bytes(data)
