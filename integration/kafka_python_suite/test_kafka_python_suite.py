"""kafka-python's own integration tests pass, but for those that missing.toml gives a reason for.

allowed.txt is exact: what is on it passes, and what passes is on it. So it can only grow.
INTEGRATION_BOOTSTRAP=apache shows what of it Apache Kafka passes.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.apache_kafka import ApacheKafka
from integration.broker_processes import Tierbroker, free_port
from integration.conftest import CHOICE
from integration.kafka_python_suite.suite import (
    ALLOWED,
    BROKER_SETTINGS,
    MISSING,
    Outcome,
    run_suite,
    unpack,
)

pytestmark = pytest.mark.timeout(1700)


@pytest.fixture(scope="module")
def suite_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh broker for the suite alone."""
    if CHOICE not in ("", "apache"):
        pytest.skip("the suite needs a fresh broker; INTEGRATION_BOOTSTRAP names a running one")
    directory = tmp_path_factory.mktemp("broker")
    broker: ApacheKafka | Tierbroker
    if CHOICE == "apache":
        broker = ApacheKafka(directory, BROKER_SETTINGS)
    else:
        port = free_port()
        # A test wants to see this one set, and not to its default.
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"}
        broker = Tierbroker(directory, BROKER_SETTINGS | advertised, port)
    broker.start()
    yield broker.bootstrap
    broker.stop()


@pytest.fixture(scope="module")
def outcomes(suite_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """How each test of the suite ended."""
    root = unpack(tmp_path_factory.mktemp("suite"))
    return run_suite(root, suite_bootstrap, tmp_path_factory.mktemp("report") / "report.xml")


@pytest.fixture(scope="module")
def allowed() -> list[str]:
    return ALLOWED.read_text().split()


def named(names: set[str], outcomes: dict[str, Outcome]) -> str:
    """The tests, and what the suite said about each."""
    nothing = Outcome("not there any more")
    found = {name: outcomes.get(name, nothing) for name in sorted(names)}
    return "\n".join(f"{name}: {one.result}\n{one.text[-3000:]}" for name, one in found.items())


def test_what_is_on_the_list_passes(outcomes: dict[str, Outcome], allowed: list[str]) -> None:
    passed = {name for name, outcome in outcomes.items() if outcome.result == "passed"}
    fallen = set(allowed) - passed
    assert not fallen, named(fallen, outcomes)


def test_what_passes_is_on_the_list(outcomes: dict[str, Outcome], allowed: list[str]) -> None:
    if CHOICE:
        pytest.skip("the list is tierbroker's")
    passed = {name for name, outcome in outcomes.items() if outcome.result == "passed"}
    added = sorted(passed - set(allowed))
    assert not added, f"add to {ALLOWED.name}, and take out of {MISSING.name}: {added}"


def test_every_other_test_has_its_reason(outcomes: dict[str, Outcome], allowed: list[str]) -> None:
    reasons = tomllib.loads(Path(MISSING).read_text())["missing"]
    assert all(reason.strip() for reason in reasons.values())
    assert set(reasons) == set(outcomes) - set(allowed)


def test_the_list_is_in_order(allowed: list[str]) -> None:
    assert allowed == sorted(set(allowed))
