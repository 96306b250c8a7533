"""tierbroker answers what Apache Kafka answers: the scenarios of `integration/scenarios/`.

By hand, with transcripts: `python -m integration.differential --help`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.apache_kafka import ApacheKafka
from integration.conftest import CHOICE
from integration.differential.compare import differences, load_known, report, unknown
from integration.differential.pair import make_tierbroker
from integration.differential.runner import KAFKA, TIERBROKER, carry_out
from integration.differential.scenarios import Scenario, load_scenarios

SCENARIOS = load_scenarios()
KNOWN = load_known()

pytestmark = pytest.mark.skipif(CHOICE != "", reason="the two brokers of this comparison are fixed")


@pytest.fixture(scope="module")
def brokers(
    apache_kafka: ApacheKafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    ours = make_tierbroker(tmp_path_factory.mktemp("differential"))
    ours.start()
    yield {KAFKA: apache_kafka.bootstrap, TIERBROKER: ours.bootstrap}
    ours.stop()


@pytest.fixture(scope="module")
def needed() -> set[int]:
    """The slots of the known differences that an answer of this run needed."""
    return set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario(scenario: Scenario, brokers: dict[str, str], needed: set[int]) -> None:
    transcripts = carry_out(scenario, brokers)
    kafka, tierbroker = transcripts[KAFKA], transcripts[TIERBROKER]
    found = differences(kafka, tierbroker)
    needed |= {slot for slot, entry in enumerate(KNOWN) if any(map(entry.covers, found))}
    news = unknown(found, KNOWN)
    if news:
        pytest.fail(report(kafka, tierbroker, news, scenario.summary), pytrace=False)


def test_no_known_difference_is_left_that_nothing_needs(
    request: pytest.FixtureRequest, needed: set[int]
) -> None:
    """An entry goes from the list with the change that makes it needless."""
    collected = sum(item.name.startswith("test_a_scenario[") for item in request.session.items)
    if collected < len(SCENARIOS):
        return  # a selection by hand shows nothing about the others
    needless = [entry for slot, entry in enumerate(KNOWN) if slot not in needed]
    assert not needless, f"remove these from known_differences.toml: {needless}"


def test_by_hand(brokers: dict[str, str]) -> None:
    """The command answers with a transcript of one broker."""
    command = [sys.executable, "-m", "integration.differential", "metadata.none_and_all"]
    done = subprocess.run(
        [*command, "--at", "tierbroker", "--tierbroker", brokers[TIERBROKER]],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "== metadata.none_and_all at tierbroker" in done.stdout
    assert "client: Metadata v1 topics=[]" in done.stdout
