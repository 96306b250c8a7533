"""Carries scenarios out against brokers and gives their transcripts.

Both brokers are asked at the same time, so that what waits for a timeout waits once.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from integration.broker_processes import BrokerProcess
from integration.differential.scenarios import Scenario
from integration.differential.script import NotAdvertisedError, Run, Setting, VersionTable
from integration.differential.transcript import Transcript
from tests.broker.wire_client import WireClient
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.messages.api_versions import ApiVersionsRequest

KAFKA, TIERBROKER = "kafka", "tierbroker"
HOUR_MS = 3_600_000
PRODUCE_FROM = 3


def advertised(bootstrap: str) -> VersionTable:
    """The versions of each API that the broker tells."""
    with WireClient(bootstrap) as client:
        answer = client.call(ApiVersionsRequest(), 0)
    known = set(ApiKey)
    return {
        ApiKey(entry.api_key): range(entry.min_version, entry.max_version + 1)
        for entry in answer.api_keys
        if entry.api_key in known
    }


def common(tables: list[VersionTable]) -> VersionTable:
    """What all of them have. Produce is advertised from 0, and refused up to 2, by both."""
    first, *others = tables
    both = dict(first)
    for table in others:
        for key in first:
            other = table.get(key, range(0))
            both[key] = range(max(both[key].start, other.start), min(both[key].stop, other.stop))
    produce = both[ApiKey.PRODUCE]
    both[ApiKey.PRODUCE] = range(max(PRODUCE_FROM, produce.start), produce.stop)
    return both


def carry_out(scenario: Scenario, brokers: Mapping[str, str]) -> dict[str, Transcript]:
    """One transcript for each broker: `brokers` is name -> host:port."""
    assert not scenario.restarts, f"{scenario.name} wants brokers that it can restart"
    setting = _setting(brokers)
    with ThreadPoolExecutor(len(brokers)) as threads:
        runs = {
            name: threads.submit(_whole, scenario, name, bootstrap, setting)
            for name, bootstrap in brokers.items()
        }
        return {name: run.result() for name, run in runs.items()}


def carry_out_over_restart(
    scenarios: Sequence[Scenario], brokers: Mapping[str, BrokerProcess]
) -> dict[str, dict[str, Transcript]]:
    """Scripts that yield: all up to there, then kill -9 and a start, then all to their end.

    Scenario name -> broker name -> transcript. Call it on the thread that lives longest: a
    process ends with the thread that started it.
    """
    found: dict[str, dict[str, Transcript]] = {scenario.name: {} for scenario in scenarios}
    addresses = {name: broker.bootstrap for name, broker in brokers.items()}
    settings = [_setting(addresses) for _ in scenarios]
    for name, broker in brokers.items():
        started = []
        for scenario, setting in zip(scenarios, settings, strict=True):
            run = Run(broker.bootstrap, setting, Transcript(scenario.name, name))
            script = scenario.body(run)
            assert script is not None
            _guarded(run, partial(next, script, None))
            started.append((run, script))
            found[scenario.name][name] = run.transcript
        broker.kill()
        broker.start()
        for run, script in started:
            if not run.transcript.broken:
                _guarded(run, partial(next, script, None))
    return found


def _setting(brokers: Mapping[str, str]) -> Setting:
    return Setting(
        token=f"-{secrets.token_hex(3)}",
        start_ms=time.time_ns() // 1_000_000 - HOUR_MS,
        versions=common([advertised(bootstrap) for bootstrap in brokers.values()]),
    )


def _whole(scenario: Scenario, broker: str, bootstrap: str, setting: Setting) -> Transcript:
    run = Run(bootstrap, setting, Transcript(scenario.name, broker))
    _guarded(run, partial(scenario.body, run))
    return run.transcript


def _guarded(run: Run, part: Callable[[], object]) -> None:
    """Carry a part of a script out; the transcript says why it could not be, if so."""
    try:
        part()
    except NotAdvertisedError as error:
        run.transcript.broken = str(error)
    except Exception as error:
        # An answer that the script could not use; what it was stands in the last steps.
        run.transcript.broken = f"{type(error).__name__}: {error}"
    finally:
        run.close()
