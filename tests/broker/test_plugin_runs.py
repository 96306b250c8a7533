"""The plugin in pytest runs of their own: discovery, the option, xdist, and its cost."""

import importlib.metadata
import os
import pathlib
import statistics
import subprocess
import sys
import textwrap

from tierbroker.testing.target import BrokerTarget

ROOT = pathlib.Path(__file__).parents[2]
COST_BUDGET_MS = 10.0

EIGHT_LINES = """
    from confluent_kafka import Producer

    def test_orders(kafka_broker, kafka_topic):
        producer = Producer({"bootstrap.servers": kafka_broker.bootstrap})
        producer.produce(kafka_topic, b"one")
        assert producer.flush(20) == 0
"""


def loads_by_itself() -> bool:
    """tierbroker is installed; in a bare source tree the plugin has to be named."""
    entries = importlib.metadata.entry_points(group="pytest11")
    return any(entry.value == "tierbroker.testing.plugin" for entry in entries)


def run_pytest(
    folder: pathlib.Path, test: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    (folder / "test_it.py").write_text(textwrap.dedent(test))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    plugin = () if loads_by_itself() else ("-p", "tierbroker.testing.plugin")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            *plugin,
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_entry_point_is_declared() -> None:
    assert 'tierbroker = "tierbroker.testing.plugin"' in (ROOT / "pyproject.toml").read_text()


def test_fixtures_work_without_any_configuration(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, EIGHT_LINES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_option_names_another_broker(
    tmp_path: pathlib.Path, kafka_broker: BrokerTarget
) -> None:
    bootstrap = kafka_broker.bootstrap
    test = f"""
        import sys

        def test_target(kafka_broker, kafka_topic):
            assert kafka_broker.bootstrap == {bootstrap!r}
            assert not kafka_broker.embedded
            assert "tierbroker.node" not in sys.modules
    """
    done = run_pytest(tmp_path, test, "--kafka-bootstrap", bootstrap)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_option_that_names_nobody_fails_with_the_address(tmp_path: pathlib.Path) -> None:
    done = run_pytest(tmp_path, EIGHT_LINES, "--kafka-bootstrap", "127.0.0.1:1")
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stdout


def test_every_worker_of_xdist_has_its_broker(tmp_path: pathlib.Path) -> None:
    test = """
        import os, pathlib, pytest

        @pytest.mark.parametrize("n", range(8))
        def test_worker(kafka_broker, kafka_topic, n):
            worker = os.environ["PYTEST_XDIST_WORKER"]
            pathlib.Path(f"{worker}-{kafka_broker.bootstrap.replace(':', '-')}").touch()
    """
    done = run_pytest(tmp_path, test, "-n", "2", "--dist", "load")
    assert done.returncode == 0, done.stdout + done.stderr
    marks = sorted(path.name for path in tmp_path.glob("gw*-*"))
    assert [mark.split("-")[0] for mark in marks] == ["gw0", "gw1"]
    assert len({mark.split("-", 1)[1] for mark in marks}) == 2


def test_a_run_that_uses_no_broker_does_not_notice(tmp_path: pathlib.Path) -> None:
    test = """
        import sys

        def test_nothing():
            loaded = {name for name in sys.modules if name.startswith("tierbroker")}
            assert loaded == {"tierbroker", "tierbroker.testing", "tierbroker.testing.plugin"}
            assert "confluent_kafka" not in sys.modules
            assert "uvloop" not in sys.modules
    """
    done = run_pytest(tmp_path, test)
    assert done.returncode == 0, done.stdout + done.stderr


def test_loading_costs_less_than_its_budget() -> None:
    costs = [_import_ms() for _ in range(5)]
    assert statistics.median(costs) < COST_BUDGET_MS, costs


def _import_ms() -> float:
    """Cumulative import time of the plugin beyond pytest, by the interpreter's own account."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import pytest, tierbroker.testing.plugin"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in done.stderr.splitlines():
        _, cumulative, name = line.removeprefix("import time:").split("|")
        if name.strip() == "tierbroker.testing.plugin":
            return int(cumulative) / 1000
    raise AssertionError("the plugin was not imported")
