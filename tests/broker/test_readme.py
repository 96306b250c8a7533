"""Every block of the README is run, as it stands, against a broker of this test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import tierbroker
from tests.readme import ROOT, readme_blocks

ADDRESS = "127.0.0.1:9092"


def run(command: list[str], directory: Path, bootstrap: str = "") -> str:
    """Run to its end in `directory`; returns what it printed, fails with that if it failed."""
    environment = {**os.environ, "TIERBROKER_BOOTSTRAP": bootstrap}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(code: str, bootstrap: str, directory: Path) -> str:
    """Run a block as a script, with the broker of this test in place of the default address."""
    script = directory / "block.py"
    script.write_text(code.replace(ADDRESS, bootstrap))
    return run([sys.executable, str(script)], directory)


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    """They cannot run inside of themselves: `make integration` runs the first one for real."""
    for line in readme_blocks()["make"].splitlines():
        command = line.partition("#")[0].split()
        assert command[0] == "make"
        assert "tierbroker dev" in run(["make", "-n", *command[1:]], ROOT) or command[1] == "test"


def test_the_commands_write_and_read(tmp_path: Path) -> None:
    with tierbroker.Broker(tmp_path / "data") as broker:
        printed = [
            run(["sh", "-c", line], ROOT, broker.bootstrap)
            for line in readme_blocks()["commands"].splitlines()
        ]
    assert sorted(printed[2].splitlines()) == ["first message", "second message"]
    assert "hello" in printed[3], printed[3]


def test_a_topic_goes_to_the_cold_tier(tmp_path: Path) -> None:
    settings = {"cold.url": f"file://{tmp_path}/cold"}
    with tierbroker.Broker(tmp_path / "data", config=settings) as broker:
        for line in readme_blocks()["tiered"].splitlines():
            run(["sh", "-c", line], ROOT, broker.bootstrap)
        consume = ".venv/bin/tierbroker consume history --from start --exit"
        printed = run(["sh", "-c", consume], ROOT, broker.bootstrap)
    assert printed == "kept for the price of a bucket\n"
    local = (tmp_path / "data" / "history-0").glob("*.log")
    assert [path.stat().st_size for path in local] == [0]


def test_kafka_python_writes_and_reads(tmp_path: Path) -> None:
    with tierbroker.Broker() as broker:
        printed = run_python(readme_blocks()["client"], broker.bootstrap, tmp_path)
    assert "offset=0" in printed
    assert printed.splitlines()[-1] == "[b'hello']"


def test_the_fixture_runs_a_test(tmp_path: Path) -> None:
    code = readme_blocks()["fixture"]
    test_lines = [line for line in code.splitlines() if line.strip()]
    assert len(test_lines) <= 8
    (tmp_path / "test_block.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_block.py"]
    assert "1 passed" in run(command, tmp_path)


def test_the_embedded_broker_starts_and_stops(tmp_path: Path) -> None:
    printed = run_python(readme_blocks()["embedded"], "", tmp_path)
    assert re.fullmatch(r"clients connect to 127\.0\.0\.1:\d+\n", printed)
