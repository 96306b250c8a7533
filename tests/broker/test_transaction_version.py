"""A cluster that is set back to the old protocol of transactions, and forward again.

Stock clients go by the finalized feature `transaction.version`; some go by the versions of the
requests alone, so both protocols are served at any level.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from kafka import KafkaProducer

import tierbroker
from tests.broker.group_calls import wait_until
from tests.broker.transaction_calls import TransactionalProducer
from tests.broker.wire_calls import create_topic
from tests.broker.wire_client import WireClient
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.api_versions import ApiVersionsRequest
from tierbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from tierbroker.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

FEATURE = "transaction.version"
UPGRADE, SAFE_DOWNGRADE = 1, 2
TRANSACTIONS = 3


def set_level(client: WireClient, level: int, how: int) -> None:
    update = FeatureUpdateKey(feature=FEATURE, max_version_level=level, upgrade_type=how)
    answer = client.call(UpdateFeaturesRequest(timeout_ms=5000, feature_updates=[update]), 2)
    assert answer.error_code == ErrorCode.NONE, answer.error_message


def level_of(client: WireClient) -> int:
    asked = ApiVersionsRequest(client_software_name="test", client_software_version="1")
    features = client.call(asked, 4).finalized_features
    return next((one.max_version_level for one in features if one.name == FEATURE), 0)


def epoch_of(client: WireClient, transactional_id: str) -> int:
    """Of the producer, once its last transaction is complete."""

    def described() -> Any:
        asked = DescribeTransactionsRequest([transactional_id])
        (found,) = client.call(asked, 0).transaction_states
        assert found.error_code == ErrorCode.NONE
        return found

    wait_until(lambda: described().transaction_state == "CompleteCommit", "complete")
    return int(described().producer_epoch)


def transactions_of_kafka_python(bootstrap: str, name: str) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
    producer.init_transactions()
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        producer.send("t", b"%s %d" % (name.encode(), number))
        producer.commit_transaction()
    producer.close()


def transactions_of_librdkafka(bootstrap: str, name: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
    producer.init_transactions(20)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        producer.produce("t", b"%s %d" % (name.encode(), number))
        producer.commit_transaction(20)


def both_protocols_by_hand(client: WireClient, run: str) -> None:
    for implicit in (False, True):
        producer = TransactionalProducer(client, f"{run} by hand {implicit}", implicit=implicit)
        assert producer.init() == ErrorCode.NONE
        if not implicit:
            assert set(producer.add(("t", 0)).values()) == {ErrorCode.NONE}
        assert producer.send("t", b"by hand") == ErrorCode.NONE
        assert producer.end(commit=True) == ErrorCode.NONE
        assert epoch_of(client, producer.transactional_id) == implicit


def committed(bootstrap: str, count: int) -> list[bytes]:
    settings = {"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    consumer.subscribe(["t"])
    found: list[bytes] = []
    while len(found) < count:
        messages = consumer.consume(100, 1)
        found += [message.value() or b"" for message in messages if not message.error()]
    consumer.close()
    return found


@pytest.mark.timeout(120)
async def test_level_0_and_back(tmp_path: Path) -> None:
    def at(bootstrap: str, level: int, run: str) -> None:
        with WireClient(bootstrap) as client:
            assert level_of(client) == level
            for transactions in (transactions_of_kafka_python, transactions_of_librdkafka):
                name = f"{run} {transactions.__name__}"
                transactions(bootstrap, name)
                # Neither speaks the new protocol at any level: the epoch stays.
                assert epoch_of(client, name) == 0
            both_protocols_by_hand(client, run)

    def first(bootstrap: str) -> None:
        with WireClient(bootstrap) as client:
            create_topic(client, "t")
            set_level(client, 0, SAFE_DOWNGRADE)
        at(bootstrap, 0, "set back")

    def second(bootstrap: str) -> None:
        at(bootstrap, 0, "started again")
        with WireClient(bootstrap) as client:
            set_level(client, 2, UPGRADE)
        at(bootstrap, 2, "forward")
        each = 2 * TRANSACTIONS + 2
        assert len(committed(bootstrap, 3 * each)) == 3 * each

    for work in (first, second):
        async with tierbroker.Broker(data=str(tmp_path)) as broker:
            await asyncio.to_thread(work, broker.bootstrap)
