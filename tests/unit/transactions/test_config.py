"""Keys and defaults are Kafka's, but for a topic that one node can keep."""

import pytest

from tierbroker.base.config import ConfigSchema, ConfigValues, Scope
from tierbroker.base.errors import InvalidConfigError
from tierbroker.transactions.config import TRANSACTION_KEYS, TransactionConfig


def test_defaults() -> None:
    values = ConfigValues(ConfigSchema(TRANSACTION_KEYS).defaults(Scope.BROKER))
    assert TransactionConfig.from_values(values) == TransactionConfig()


def test_values_that_are_set() -> None:
    settings = {
        "transaction.max.timeout.ms": "1",
        "transactional.id.expiration.ms": "2",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "3",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "4",
        "transaction.state.log.num.partitions": "5",
    }
    values = ConfigValues(ConfigSchema(TRANSACTION_KEYS).parse(settings, Scope.BROKER))
    assert TransactionConfig.from_values(values) == TransactionConfig(1, 2, 3, 4, 5)


def test_two_phase_commit_cannot_be_switched_on() -> None:
    schema = ConfigSchema(TRANSACTION_KEYS)
    name = "transaction.two.phase.commit.enable"
    assert schema.parse({name: "false"}, Scope.BROKER) == {name: False}
    with pytest.raises(InvalidConfigError, match="KIP-939"):
        schema.parse({name: "true"}, Scope.BROKER)
