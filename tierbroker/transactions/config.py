"""Keys of transactions and of the topic that keeps them. Names and defaults are Kafka's."""

from dataclasses import dataclass

from tierbroker.base.config import ConfigKey, ConfigType, ConfigValue, ConfigValues, between


def _only_off(value: ConfigValue) -> None:
    """Two-phase commit is not there; a broker that was told to have it must not start without."""
    if value:
        raise ValueError(
            "two-phase commit with other systems (KIP-939) is not implemented; leave it out, or "
            "set it to false"
        )


TRANSACTION_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "transaction.max.timeout.ms",
        ConfigType.INT,
        "900000",
        "Longest transaction timeout that a producer may ask for.",
        validate=between(1),
    ),
    ConfigKey(
        "transactional.id.expiration.ms",
        ConfigType.INT,
        "604800000",
        "How long a transactional id without an open transaction is remembered.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        ConfigType.INT,
        "10000",
        "How often transactions that are open for longer than their timeout are looked for and "
        "aborted.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        ConfigType.INT,
        "3600000",
        "How often expired transactional ids are looked for.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.state.log.num.partitions",
        ConfigType.INT,
        "50",
        "Partitions of `__transaction_state`. Must not change once the topic exists.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.state.log.replication.factor",
        ConfigType.SHORT,
        "1",
        "Replicas of `__transaction_state`. Kafka's default is 3; one node can keep one.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.state.log.min.isr",
        ConfigType.INT,
        "1",
        "In-sync replicas that a record of `__transaction_state` needs. Kafka's default is 2; one "
        "node can keep one.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.state.log.segment.bytes",
        ConfigType.INT,
        "104857600",
        "Segment size of `__transaction_state`.",
        validate=between(1),
    ),
    ConfigKey(
        "transaction.two.phase.commit.enable",
        ConfigType.BOOLEAN,
        "false",
        "Whether transactions may take part in two-phase commits with other systems (KIP-939). "
        "Only false, for now; like Kafka by default, the broker then does not know "
        "InitProducerId 6, which would ask for it.",
        validate=_only_off,
    ),
)


@dataclass(frozen=True, slots=True)
class TransactionConfig:
    """The values in force; times in milliseconds."""

    max_timeout_ms: int = 900_000
    id_expiration_ms: int = 604_800_000
    abort_interval_ms: int = 10_000
    expiration_interval_ms: int = 3_600_000
    partitions: int = 50

    @classmethod
    def from_values(cls, values: ConfigValues) -> "TransactionConfig":
        """What the broker's settings say."""
        return cls(
            max_timeout_ms=values.integer("transaction.max.timeout.ms"),
            id_expiration_ms=values.integer("transactional.id.expiration.ms"),
            abort_interval_ms=values.integer(
                "transaction.abort.timed.out.transaction.cleanup.interval.ms"
            ),
            expiration_interval_ms=values.integer(
                "transaction.remove.expired.transaction.cleanup.interval.ms"
            ),
            partitions=values.integer("transaction.state.log.num.partitions"),
        )
