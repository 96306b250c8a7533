"""Carries scenarios out against brokers and gives their transcripts.

Both brokers are asked at the same time, so that what waits for a timeout waits once.
"""

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

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


def carry_out(scenario: Scenario, brokers: dict[str, str]) -> dict[str, Transcript]:
    """One transcript for each broker: `brokers` is name -> host:port."""
    setting = Setting(
        token=f"-{secrets.token_hex(3)}",
        start_ms=time.time_ns() // 1_000_000 - HOUR_MS,
        versions=common([advertised(bootstrap) for bootstrap in brokers.values()]),
    )
    with ThreadPoolExecutor(len(brokers)) as threads:
        runs = {
            name: threads.submit(_run, scenario, name, bootstrap, setting)
            for name, bootstrap in brokers.items()
        }
        return {name: run.result() for name, run in runs.items()}


def _run(scenario: Scenario, broker: str, bootstrap: str, setting: Setting) -> Transcript:
    transcript = Transcript(scenario.name, broker)
    run = Run(bootstrap, setting, transcript)
    try:
        scenario.body(run)
    except NotAdvertisedError as error:
        transcript.broken = str(error)
    except Exception as error:
        # An answer that the script could not use; what it was stands in the last steps.
        transcript.broken = f"{type(error).__name__}: {error}"
    finally:
        run.close()
    return transcript
