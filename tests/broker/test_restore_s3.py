"""A restore from a bucket of S3, and the command that it prints after it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import KEY_ID, SECRET, judge, moto_server
from tierbroker.cli.main import run

GOLDEN = Path(__file__).parents[1] / "golden" / "cold"
URL = "s3://lost/years"
DEADLINE_S = 30


@pytest.fixture
def settings() -> Iterator[list[str]]:
    """Flags that lead to a bucket with the golden store."""
    with moto_server() as endpoint:
        client = judge(endpoint)
        client.create_bucket(Bucket="lost")
        for path in GOLDEN.rglob("*"):
            if path.is_file():
                key = f"years/{path.relative_to(GOLDEN)}"
                client.put_object(Bucket="lost", Key=key, Body=path.read_bytes())
        pairs = {
            "cold.s3.endpoint": endpoint,
            "cold.s3.access.key.id": KEY_ID,
            "cold.s3.secret.access.key": SECRET,
            "node.id": "7",
        }
        yield [argument for pair in pairs.items() for argument in ("--set", "=".join(pair))]


@pytest.mark.timeout(90)
def test_what_it_prints_starts_the_cluster(
    tmp_path: Path, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "with a space"
    assert run(["restore", "--from", URL, "--data", str(data), "--json", *settings]) == 0
    summary, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    program, *arguments = shlex.split(summary["start"])
    assert (program, SECRET in summary["start"]) == ("tierbroker", False)
    keys = dict(zip(summary["start_keys"], (KEY_ID, SECRET), strict=True))
    env = {name: value for name, value in os.environ.items() if not name.startswith("TIERBROKER_")}
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [sys.executable, "-m", program, *arguments, "--port", "0", "--ready-file", str(ready)],
        env={**env, **keys},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not ready.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "no ready file"
            time.sleep(0.02)
        bootstrap = json.loads(ready.read_text())["bootstrap"]
        consume = ["consume", "orders", "--from", "start", "-n", "47", "--json", "-b", bootstrap]
        assert run(consume) == 0
        offsets = [json.loads(line)["offset"] for line in capsys.readouterr().out.splitlines()]
        assert offsets == [*range(5, 40), *range(52, 62), 63, 64]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
