"""`tierbroker transaction`, each as a process of its own."""

import json

from tests.broker.cli_calls import Cli, ok
from tests.broker.transaction_calls import TransactionalProducer
from tests.broker.wire_client import WireClient
from tierbroker.wire.error_codes import ErrorCode


def test_an_open_transaction_is_listed_shown_and_aborted(
    client: WireClient, topic: str, cli: Cli
) -> None:
    producer = TransactionalProducer(client)
    name = producer.transactional_id
    assert producer.init() == ErrorCode.NONE
    assert producer.add((topic, 0)) == {(topic, 0): ErrorCode.NONE}
    rows = [json.loads(line) for line in ok(cli("transaction", "ls", "--json")).splitlines()]
    assert {"transaction": name, "state": "Ongoing", "producer": producer.id} in rows
    shown = json.loads(ok(cli("transaction", "show", name, "--json")))
    assert (shown["state"], shown["partitions"]) == ("Ongoing", f"{topic} 0")
    assert (shown["epoch"], shown["timeout"]) == (producer.epoch, 60_000)
    assert shown["open"] >= 0
    done = json.loads(ok(cli("transaction", "abort", name, "--json")))
    assert done == {"transaction": name, "aborted": True}
    assert producer.end() == ErrorCode.PRODUCER_FENCED
    again = cli("transaction", "abort", name)
    assert again.returncode == 1
    assert b"no open transaction" in again.stderr


def test_an_id_that_nobody_used(client: WireClient, cli: Cli) -> None:
    done = cli("transaction", "show", "never-used")
    assert done.returncode == 1
    assert b"There is no transactional id 'never-used'" in done.stderr
