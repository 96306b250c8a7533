"""The commands that need no broker, on a bucket of S3."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import KEY_ID, SECRET, judge, moto_server
from tierbroker.cli.main import run

GOLDEN = Path(__file__).parents[1] / "golden" / "cold"
URL = "s3://archive/years"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def settings(endpoint: str) -> Iterator[list[str]]:
    """Flags that lead to a bucket with the golden store."""
    client = judge(endpoint)
    client.create_bucket(Bucket="archive")
    for path in GOLDEN.rglob("*"):
        if path.is_file():
            key = f"years/{path.relative_to(GOLDEN)}"
            client.put_object(Bucket="archive", Key=key, Body=path.read_bytes())
    pairs = {
        "cold.s3.endpoint": endpoint,
        "cold.s3.access.key.id": KEY_ID,
        "cold.s3.secret.access.key": SECRET,
    }
    yield [argument for pair in pairs.items() for argument in ("--set", "=".join(pair))]
    for found in client.list_objects_v2(Bucket="archive")["Contents"]:
        client.delete_object(Bucket="archive", Key=found["Key"])
    client.delete_bucket(Bucket="archive")


def output(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.timeout(60)
def test_records_are_read(settings: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["archive", "cat", URL, "orders", "--json", *settings]) == 0
    offsets = [record["offset"] for record in output(capsys)]
    assert offsets == [*range(5, 40), *range(52, 62), 63, 64]
    assert run(["archive", "ls", URL, "--json", *settings]) == 0
    assert [row["segments"] for row in output(capsys)] == [4]
    assert run(["archive", "ls", "s3://archive/days", *settings]) == 1
    assert "Nothing is there" in capsys.readouterr().err


@pytest.mark.timeout(60)
def test_damage_is_found(
    endpoint: str, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tier", "verify", URL, "--all", *settings]) == 0
    (path,) = GOLDEN.rglob("*66.5.11.seg")
    key = f"years/{path.relative_to(GOLDEN)}"
    judge(endpoint).put_object(Bucket="archive", Key=key, Body=path.read_bytes()[::-1])
    assert run(["tier", "verify", URL, "--all", "--json", *settings]) == 1
    finding, _ = output(capsys)
    assert finding["key"] == key.removeprefix("years/")


@pytest.mark.timeout(60)
def test_orphans_and_unfinished_uploads_go(
    endpoint: str, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    client = judge(endpoint)
    (path,) = GOLDEN.rglob("*66.5.11.seg")
    folder = f"years/{path.parent.relative_to(GOLDEN)}"
    orphan = f"{folder}/{67:020}-{69:020}.5.3.seg"
    client.put_object(Bucket="archive", Key=orphan, Body=b"given up")
    client.put_object(Bucket="archive", Key="elsewhere/thing", Body=b"not ours")
    for key in (f"{folder}/{67:020}-{69:020}.5.4.seg", f"{folder}/{67:020}-{69:020}.5.999.seg"):
        client.create_multipart_upload(Bucket="archive", Key=key)
    arguments = ["tier", "scrub", URL, "--older-than", "0s", "--delete", "--json", *settings]
    assert run(arguments) == 0
    *rows, summary = output(capsys)
    assert {row["what"] for row in rows} <= {"segment", "unfinished upload"}
    assert f"{folder.removeprefix('years/')}/{67:020}-{69:020}.5.3.seg" in {
        row["key"] for row in rows
    }
    assert summary["deleted"] == len(rows)
    left = {found["Key"] for found in client.list_objects_v2(Bucket="archive")["Contents"]}
    assert orphan not in left
    assert "elsewhere/thing" in left
    assert len(left) == 9 + 1
    uploads = client.list_multipart_uploads(Bucket="archive").get("Uploads", [])
    assert [upload["Key"].rpartition(".5.")[2] for upload in uploads] == ["999.seg"]
    for upload in uploads:
        client.abort_multipart_upload(
            Bucket="archive", Key=upload["Key"], UploadId=upload["UploadId"]
        )


@pytest.mark.timeout(60)
def test_a_program_that_ends_right_after_its_reads_ends_well(endpoint: str, tmp_path: Path) -> None:
    """Without care one in six aborts: the library's threads still hold things of its."""
    client = judge(endpoint)
    client.create_bucket(Bucket="short")
    client.put_object(Bucket="short", Key="thing", Body=bytes(10_000))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), endpoint, KEY_ID, SECRET]
    for _ in range(5):
        two = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
        assert [(each.wait(30), each.communicate()[1]) for each in two] == [(0, b"")] * 2


PROGRAM = """
import sys
from tierbroker.base.story import all_of, until
from tierbroker.node.store_session import run_with_store

async def read(store):
    await until(all_of([store.get_range("thing", 1000 * n, 1000) for n in range(8)]))

names = ("endpoint", "access.key.id", "secret.access.key")
flags = {f"cold.s3.{name}": value for name, value in zip(names, sys.argv[1:])}
run_with_store("s3://short", flags, {}, read)
"""
