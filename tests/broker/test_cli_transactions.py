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
    (row,) = [row for row in rows if row["transaction"] == name]
    assert (row["state"], row["producer"]) == ("Ongoing", producer.id)
    assert row["open"] >= 0
    assert row["until"].endswith("Z")
    opened = [json.loads(line) for line in ok(cli("transaction", "ls", "--open", "--json")).split()]
    assert name in [row["transaction"] for row in opened]
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
    assert name.encode() not in ok(cli("transaction", "ls", "--open"))
    rows = [json.loads(line) for line in ok(cli("transaction", "ls", "--json")).splitlines()]
    assert [row["open"] for row in rows if row["transaction"] == name] == [None]


def test_an_id_that_nobody_used(client: WireClient, cli: Cli) -> None:
    done = cli("transaction", "show", "never-used")
    assert done.returncode == 1
    assert b"There is no transactional id 'never-used'" in done.stderr
