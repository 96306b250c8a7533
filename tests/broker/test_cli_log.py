"""`tierbroker log damage` on data directories with and without damage."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

from tests.broker.cli_calls import cli_with, ok
from tests.broker.test_failed_disk import node_on
from tests.broker.test_many_logs import stop_roughly
from tests.broker.wire_calls import batch_of, create_topic, produce
from tests.broker.wire_client import WireClient
from tierbroker.records.batch import BatchHeader, walk

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented_command() -> list[str]:
    """What docs/reliability.md says."""
    (block,) = BLOCK.findall((DOCS / "reliability.md").read_text())
    command, *arguments = block.split()
    assert command == "tierbroker"
    return arguments


async def start_on_damage(path: Path, damaged: int) -> tuple[str, int, BatchHeader]:
    """A batch of t-0 has a wrong byte; answers its file, position and header."""
    node = node_on(path)
    await node.start()

    def fill() -> None:
        with WireClient(node.bootstrap) as client:
            create_topic(client, "t")
            for _ in range(10):
                assert produce(client, "t", batch_of([b"one", b"two"])).error_code == 0

    await asyncio.to_thread(fill)
    await stop_roughly(node)
    log = path / "t-0" / f"{0:020}.log"
    content = bytearray(log.read_bytes())
    position, header = [*walk(bytes(content))][damaged]
    content[position + 62] ^= 1
    log.write_bytes(content)
    return str(log), position, header


async def test_each_region_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, position, header = await start_on_damage(tmp_path / "data", 3)
    cli = cli_with(os.environ)
    node = node_on(tmp_path / "data")
    await node.start()
    try:
        monkeypatch.chdir(tmp_path)
        done = await asyncio.to_thread(cli, *documented_command(), "--json")
    finally:
        await node.stop()
    assert done.returncode == 1
    (row,) = map(json.loads, done.stdout.splitlines())
    assert (row["topic"], row["partition"]) == ("t", 0)
    assert (row["first_offset"], row["last_offset"]) == (6, 7)
    assert (row["bytes"], row["position"]) == (header.size_bytes, position)
    assert Path(tmp_path, row["file"]).resolve() == Path(file)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["noticed"])
    assert row["reason"] == "the CRC does not match"
    assert "restore ./data/t-0/" in row["next_step"]
    assert row["next_step"].endswith("go on at offset 8")
    assert b"1 region of 1 partition is damaged" in done.stderr

    plain = await asyncio.to_thread(cli, "log", "damage", "--data", str(tmp_path / "data"))
    assert plain.returncode == 1
    assert plain.stdout.startswith(b"t\t0\t6\t7\t")


async def test_without_damage_it_says_so(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    node = node_on(Path(f"{first},{second}"))
    await node.start()
    await node.stop()
    cli = cli_with(os.environ)
    done = cli("log", "damage", "--set", f"log.dirs={first},{second}")
    assert ok(done) == b""
    assert f"has noted no damage in {first}, {second}".encode() in done.stderr


def test_where_no_broker_was_it_says_what_to_name(tmp_path: Path) -> None:
    done = cli_with(os.environ)("log", "damage", "--data", str(tmp_path))
    assert done.returncode == 1
    assert b"tierbroker log damage --data DIR" in done.stderr
