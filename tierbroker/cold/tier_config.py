"""The keys of the tier's own work: what is done how often, and with how much memory."""

from tierbroker.base.config import ConfigKey, ConfigType, between

_MIB = 1024 * 1024

TIER_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "tier.checkpoint.interval.ms",
        ConfigType.LONG,
        "30000",
        "How often the cluster's metadata and group offsets go to the store, if they changed. What "
        "is uploaded may be let go locally only once a checkpoint names it.",
        validate=between(100),
    ),
    ConfigKey(
        "tier.upload.concurrency",
        ConfigType.INT,
        "4",
        "Segments that are uploaded at once, of different partitions.",
        validate=between(1, 256),
    ),
    ConfigKey(
        "tier.upload.timeout.ms",
        ConfigType.LONG,
        "600000",
        "An upload that has not succeeded for so long is begun anew under another key.",
        validate=between(1000),
    ),
    ConfigKey(
        "tier.delete.grace.ms",
        ConfigType.LONG,
        "60000",
        "How long an object that does not count any more stays in the store: for readers that are "
        "under way.",
        validate=between(0),
    ),
    ConfigKey(
        "tier.read.cache.bytes",
        ConfigType.LONG,
        str(96 * _MIB),
        "Memory for records that were read from the store.",
        validate=between(8 * _MIB),
    ),
    ConfigKey(
        "tier.index.cache.bytes",
        ConfigType.LONG,
        str(16 * _MIB),
        "Memory for the indexes of cold segments: reads of those need one request fewer.",
        validate=between(_MIB),
    ),
    ConfigKey(
        "tier.read.ahead",
        ConfigType.INT,
        "8",
        "Requests that run ahead of a reader of cold records, 4 MiB each.",
        validate=between(1, 64),
    ),
    ConfigKey(
        "remote.log.manager.copy.max.bytes.per.second",
        ConfigType.LONG,
        str((1 << 63) - 1),
        "Most bytes a second that go to the store, of all partitions together.",
        validate=between(1),
    ),
    ConfigKey(
        "remote.log.manager.fetch.max.bytes.per.second",
        ConfigType.LONG,
        str((1 << 63) - 1),
        "Most bytes a second that are read from the store, for all readers together.",
        validate=between(1),
    ),
)
