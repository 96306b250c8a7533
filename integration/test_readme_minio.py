"""The README's lines for a bucket, as they stand, with a MinIO of this test."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.broker_processes import Process, free_port, wait_until
from integration.conftest import CHOICE
from integration.object_stores import Minio
from tests.readme import ROOT, readme_blocks
from tests.s3_server import KEY_ID, SECRET, judge

pytestmark = pytest.mark.skipif(CHOICE != "", reason="the README starts its own broker")


@pytest.fixture
def minio(tmp_path: Path) -> Iterator[Minio]:
    server = Minio(tmp_path / "minio")
    server.start()
    judge(server.endpoint).create_bucket(Bucket="archive")
    yield server
    server.stop()


def test_a_topic_lives_in_a_bucket_alone(tmp_path: Path, minio: Minio) -> None:
    blocks = readme_blocks()
    export, check, dev = blocks["minio"].splitlines()
    here = {
        "http://127.0.0.1:9000": minio.endpoint,
        "ID=minioadmin": f"ID={KEY_ID}",
        "KEY=minioadmin": f"KEY={SECRET}",
    }
    for example, value in here.items():
        assert example in export
        export = export.replace(example, value)
    bootstrap = f"127.0.0.1:{free_port()}"

    def run(line: str) -> str:
        done = subprocess.run(
            ["sh", "-c", f"{export}\n{line}"],
            cwd=ROOT,
            env={**os.environ, "TIERBROKER_BOOTSTRAP": bootstrap},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def started(data: str) -> Iterator[None]:
        broker = Process(tmp_path / f"{data}.log")
        where = f"--port {bootstrap.rpartition(':')[2]} --data {tmp_path / data}"
        broker.launch(["sh", "-c", f"cd {ROOT}\n{export}\nexec {dev} {where}"])
        try:
            wait_until(lambda: "is ready" in broker.log_text(), "ready broker", 120, broker)
            yield
        finally:
            broker.end(signal.SIGTERM)

    run(check)
    with started("data"):
        for line in blocks["tiered"].splitlines():
            run(line)
    cat, verify, restore = blocks["bucket"].splitlines()
    assert run(cat) == "kept for the price of a bucket\n"
    run(verify)
    assert "./restored" in restore
    assert "history" in run(restore.replace("./restored", f"{tmp_path}/restored"))
    with started("restored"):
        consumed = run(".venv/bin/tierbroker consume history --from start --exit")
    assert consumed == "kept for the price of a bucket\n"
