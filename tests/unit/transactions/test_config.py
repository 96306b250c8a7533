"""Keys and defaults are Kafka's, but for a topic that one node can keep."""

from tierbroker.base.config import ConfigSchema, ConfigValues, Scope
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
