"""tierbroker answers what Apache Kafka answers: the scenarios of `integration/scenarios/`.

By hand, with transcripts: `python -m integration.differential --help`.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from integration.apache_kafka import ApacheKafka
from integration.conftest import CHOICE
from integration.differential.compare import differences, load_known, report, unknown
from integration.differential.pair import make_kafka, make_tierbroker
from integration.differential.runner import (
    KAFKA,
    TIERBROKER,
    advertised,
    carry_out,
    carry_out_over_restart,
    common,
)
from integration.differential.scenarios import Scenario, load_scenarios
from integration.differential.transcript import Transcript
from tierbroker.wire import messages

AT_A_TIME = 4
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
def transcripts(
    request: pytest.FixtureRequest,
    brokers: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[dict[str, Transcript]]]]:
    """What the selected scenarios wrote down. Some run at a time: most of their time they wait."""
    selected = {
        scenario.name: scenario
        for item in request.session.items
        if isinstance(scenario := _parameters(item).get("scenario"), Scenario)
    }
    together = [scenario for scenario in selected.values() if not scenario.restarts]
    alone = [scenario for scenario in selected.values() if scenario.restarts]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        futures = {
            scenario.name: threads.submit(carry_out, scenario, brokers) for scenario in together
        }
        if alone:
            directory = tmp_path_factory.mktemp("restarts")
            restarted = _over_a_restart(directory, alone)
            for name, found in restarted.items():
                futures[name] = Future()
                futures[name].set_result(found)
        yield futures


def _over_a_restart(
    directory: Path, scenarios: Sequence[Scenario]
) -> dict[str, dict[str, Transcript]]:
    """With a pair of brokers of their own."""
    pair = {
        KAFKA: make_kafka(directory / KAFKA),
        TIERBROKER: make_tierbroker(directory / TIERBROKER),
    }
    for broker in pair.values():
        broker.start()
    try:
        return carry_out_over_restart(scenarios, pair)
    finally:
        for broker in pair.values():
            if broker.running:
                broker.stop()


def _parameters(item: pytest.Item) -> dict[str, object]:
    return getattr(getattr(item, "callspec", None), "params", {})


@pytest.fixture(scope="module")
def needed() -> set[int]:
    """The slots of the known differences that an answer of this run needed."""
    return set()


@pytest.fixture(scope="module")
def asked() -> set[tuple[str, int]]:
    """Each API and version that a scenario of this run has asked for."""
    return set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario(
    scenario: Scenario,
    transcripts: dict[str, Future[dict[str, Transcript]]],
    needed: set[int],
    asked: set[tuple[str, int]],
) -> None:
    both = transcripts[scenario.name].result()
    kafka, tierbroker = both[KAFKA], both[TIERBROKER]
    found = differences(kafka, tierbroker)
    asked |= {(step.api, step.version) for step in tierbroker.steps}
    needed |= {slot for slot, entry in enumerate(KNOWN) if any(map(entry.covers, found))}
    news = unknown(found, KNOWN)
    if news:
        pytest.fail(report(kafka, tierbroker, news, scenario.summary), pytrace=False)


def test_no_known_difference_is_left_that_nothing_needs(
    request: pytest.FixtureRequest, needed: set[int]
) -> None:
    """An entry goes from the list with the change that makes it needless."""
    if not _all_were_run(request):
        return
    needless = [entry for slot, entry in enumerate(KNOWN) if slot not in needed]
    assert not needless, f"remove these from known_differences.toml: {needless}"


def test_each_version_of_each_api_is_in_a_scenario(
    request: pytest.FixtureRequest, brokers: dict[str, str], asked: set[tuple[str, int]]
) -> None:
    """What both brokers advertise is compared."""
    if not _all_were_run(request):
        return
    both = common([advertised(bootstrap) for bootstrap in brokers.values()])
    missing = {
        (messages.load(key).NAME, version) for key, versions in both.items() for version in versions
    } - asked
    assert not missing, f"no scenario asks for {sorted(missing)}"


def _all_were_run(request: pytest.FixtureRequest) -> bool:
    """A selection by hand shows nothing about the others."""
    run = sum(item.name.startswith("test_a_scenario[") for item in request.session.items)
    return run == len(SCENARIOS)


def test_by_hand(brokers: dict[str, str]) -> None:
    """The command answers with a transcript of one broker."""
    command = [sys.executable, "-m", "integration.differential", "metadata.none_and_all"]
    done = subprocess.run(
        [*command, "--at", "tierbroker", "--tierbroker", brokers[TIERBROKER]],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert "== metadata.none_and_all at tierbroker" in done.stdout
    assert "client: Metadata v1 topics=[]" in done.stdout
