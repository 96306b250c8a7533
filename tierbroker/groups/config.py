"""Keys of consumer groups and of the topic that keeps them. Names and defaults are Kafka's."""

from dataclasses import dataclass

from tierbroker.base.config import ConfigKey, ConfigType, ConfigValues, between

GROUP_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "group.min.session.timeout.ms",
        ConfigType.INT,
        "6000",
        "Shortest session timeout that a member may ask for.",
        validate=between(0),
    ),
    ConfigKey(
        "group.max.session.timeout.ms",
        ConfigType.INT,
        "1800000",
        "Longest session timeout that a member may ask for.",
        validate=between(0),
    ),
    ConfigKey(
        "group.initial.rebalance.delay.ms",
        ConfigType.INT,
        "3000",
        "How long the first rebalance of an empty group waits for more members; each one that "
        "joins meanwhile prolongs it, up to the rebalance timeout. `tierbroker dev` sets 0.",
        validate=between(0),
    ),
    ConfigKey(
        "group.max.size",
        ConfigType.INT,
        "2147483647",
        "Most members of one group.",
        validate=between(1),
    ),
    ConfigKey(
        "offset.metadata.max.bytes",
        ConfigType.INT,
        "4096",
        "Longest text that may go with a committed offset.",
        validate=between(0),
    ),
    ConfigKey(
        "offsets.topic.num.partitions",
        ConfigType.INT,
        "50",
        "Partitions of `__consumer_offsets`. Must not change once the topic exists.",
        validate=between(1),
    ),
    ConfigKey(
        "offsets.topic.replication.factor",
        ConfigType.SHORT,
        "1",
        "Replicas of `__consumer_offsets`. Kafka's default is 3; one node can keep one.",
        validate=between(1),
    ),
    ConfigKey(
        "offsets.topic.segment.bytes",
        ConfigType.INT,
        "104857600",
        "Segment size of `__consumer_offsets`.",
        validate=between(1),
    ),
    ConfigKey(
        "offsets.retention.minutes",
        ConfigType.INT,
        "10080",
        "How long committed offsets are kept after their group became empty, or after the commit "
        "for consumers that are not in a group.",
        validate=between(1),
    ),
    ConfigKey(
        "offsets.retention.check.interval.ms",
        ConfigType.LONG,
        "600000",
        "How often expired offsets are looked for.",
        validate=between(1),
    ),
)


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """The values in force; times in milliseconds."""

    min_session_timeout_ms: int = 6_000
    max_session_timeout_ms: int = 1_800_000
    initial_rebalance_delay_ms: int = 3_000
    max_size: int = 2_147_483_647
    offset_metadata_max_bytes: int = 4_096
    offsets_partitions: int = 50
    offsets_retention_ms: int = 10_080 * 60_000
    offsets_retention_check_interval_ms: int = 600_000

    @classmethod
    def from_values(cls, values: ConfigValues) -> "GroupConfig":
        """What the broker's settings say."""
        return cls(
            min_session_timeout_ms=values.integer("group.min.session.timeout.ms"),
            max_session_timeout_ms=values.integer("group.max.session.timeout.ms"),
            initial_rebalance_delay_ms=values.integer("group.initial.rebalance.delay.ms"),
            max_size=values.integer("group.max.size"),
            offset_metadata_max_bytes=values.integer("offset.metadata.max.bytes"),
            offsets_partitions=values.integer("offsets.topic.num.partitions"),
            offsets_retention_ms=values.integer("offsets.retention.minutes") * 60_000,
            offsets_retention_check_interval_ms=values.integer(
                "offsets.retention.check.interval.ms"
            ),
        )
