"""Open transactions of a broker that stops and comes back: nothing counts yet, nothing is lost."""

import asyncio
import pathlib
from collections.abc import Callable

import pytest

import tierbroker
from tests.broker.group_calls import await_coordinator, new_group, wait_until
from tests.broker.transaction_calls import TransactionalProducer, stable_offset
from tests.broker.wire_calls import create_topic, fetch
from tests.broker.wire_client import WireClient
from tierbroker.wire.error_codes import ErrorCode

READ_COMMITTED = 1


async def with_broker(data: pathlib.Path, work: Callable[[WireClient], None]) -> None:
    """Do the work, which blocks, against a broker with that data."""

    def run(bootstrap: str) -> None:
        with WireClient(bootstrap) as client:
            work(client)

    async with tierbroker.Broker(data=str(data)) as broker:
        await asyncio.to_thread(run, broker.bootstrap)


@pytest.mark.parametrize("implicit", [False, True], ids=["old", "new"])
@pytest.mark.parametrize("commit", [False, True], ids=["aborted", "committed"])
async def test_a_restart_leaves_a_transaction_open(
    tmp_path: pathlib.Path, implicit: bool, commit: bool
) -> None:
    group = new_group()
    kept: list[TransactionalProducer] = []

    def begin(client: WireClient) -> None:
        create_topic(client, "t")
        await_coordinator(client, group)
        producer = TransactionalProducer(client, implicit=implicit)
        assert producer.init() == ErrorCode.NONE
        producer.begin_with("t", b"a")
        assert producer.begin_with_offset(group, "t", 7) == ErrorCode.NONE
        kept.append(producer)

    def go_on(client: WireClient) -> None:
        (producer,) = kept
        producer.client = client
        await_coordinator(client, group)
        unstable = (ErrorCode.UNSTABLE_OFFSET_COMMIT, -1, -1)
        wait_until(lambda: stable_offset(client, group, "t") == unstable, "it is still open")
        assert producer.state() == "Ongoing"
        assert fetch(client, "t", isolation_level=READ_COMMITTED).records in (None, b"")
        assert producer.send("t", b"b") == ErrorCode.NONE
        assert producer.end(commit=commit) == ErrorCode.NONE
        ended = (ErrorCode.NONE, 7 if commit else -1, -1)
        wait_until(lambda: stable_offset(client, group, "t") == ended, "it has ended")
        answer = fetch(client, "t", isolation_level=READ_COMMITTED)
        assert len(answer.aborted_transactions) == (0 if commit else 1)
        assert answer.last_stable_offset == answer.high_watermark == 3

    await with_broker(tmp_path / "data", begin)
    await with_broker(tmp_path / "data", go_on)
