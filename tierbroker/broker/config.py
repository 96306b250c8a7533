"""Broker keys that concern requests and topics as a whole. Names and defaults are Kafka's."""

from tierbroker.base.config import ConfigKey, ConfigType, between

BROKER_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "auto.create.topics.enable",
        ConfigType.BOOLEAN,
        "true",
        "Create a topic when a client asks for its metadata and allows it.",
    ),
    ConfigKey(
        "num.partitions",
        ConfigType.INT,
        "1",
        "Partitions of a topic that is created without saying how many.",
        validate=between(1),
    ),
    ConfigKey(
        "default.replication.factor",
        ConfigType.INT,
        "1",
        "Replicas of each partition of a topic that is created without saying how many.",
        validate=between(1),
    ),
    ConfigKey(
        "delete.topic.enable",
        ConfigType.BOOLEAN,
        "true",
        "Whether clients may delete topics.",
    ),
    ConfigKey(
        "fetch.max.bytes",
        ConfigType.INT,
        "57671680",
        "Most bytes of records in one Fetch answer; one batch may exceed it.",
        validate=between(1024),
    ),
    ConfigKey(
        "max.incremental.fetch.session.cache.slots",
        ConfigType.INT,
        "1000",
        "How many consumers may have an incremental fetch session at a time.",
        validate=between(0),
    ),
)
