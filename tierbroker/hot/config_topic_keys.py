"""The configuration keys of a topic: names, types, defaults and ranges are Apache Kafka 4.3's.

Facts only. What a key does is in the module that reads it, through `hot.config.LogConfig`; keys
that no module reads yet are listed all the same, because DescribeConfigs answers all of them.
Must never read a file, a clock or an environment variable.
"""

from tierbroker.base.config import (
    ConfigKey,
    ConfigType,
    ConfigValue,
    Scope,
    between,
    one_of,
)

FLUSH_MODES = ("fsync", "replicated", "none")
COMPRESSION_TYPES = ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
CLEANUP_POLICIES = ("compact", "delete")
TIMESTAMP_TYPES = ("CreateTime", "LogAppendTime")
MAX_LONG = (1 << 63) - 1


def gzip_level(value: ConfigValue) -> None:
    """A validator: -1 (the codec's own choice) or 1 to 9."""
    assert isinstance(value, int)
    if value != -1 and not 1 <= value <= 9:
        raise ValueError("must be -1 or from 1 to 9")


def throttled_replicas(value: ConfigValue) -> None:
    """A validator: `*`, or `partition:broker` pairs (Kafka's ThrottledReplicaListValidator)."""
    assert isinstance(value, tuple)
    if value == ("*",):
        return
    for item in value:
        partition, colon, broker = item.partition(":")
        if not (colon and partition.isdigit() and broker.isdigit()):
            raise ValueError(f"{item!r} is neither * nor a pair partition:broker")


def _topic(
    name: str,
    type_: ConfigType,
    default: str | None,
    doc: str,
    *,
    synonym: str | None = None,
    validate: object = None,
) -> ConfigKey:
    assert validate is None or callable(validate)
    return ConfigKey(name, type_, default, doc, Scope.TOPIC, validate, synonym)


_B, _S, _I, _L, _D, _LIST = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.DOUBLE,
    ConfigType.LIST,
)

TOPIC_KEYS: tuple[ConfigKey, ...] = (
    _topic(
        "cleanup.policy",
        _LIST,
        "delete",
        "What happens to old records: delete drops whole segments by age and size, compact keeps "
        "the last record of each key; both together do both; an empty list keeps everything.",
        synonym="log.cleanup.policy",
        validate=one_of(*CLEANUP_POLICIES),
    ),
    _topic(
        "compression.gzip.level",
        _I,
        "-1",
        "Effort of gzip when compression.type is gzip; -1 lets the codec choose.",
        synonym="compression.gzip.level",
        validate=gzip_level,
    ),
    _topic(
        "compression.lz4.level",
        _I,
        "9",
        "Effort of lz4 when compression.type is lz4.",
        synonym="compression.lz4.level",
        validate=between(1, 17),
    ),
    _topic(
        "compression.type",
        _S,
        "producer",
        "Codec of the batches on disk; producer keeps whatever codec the producer chose.",
        synonym="compression.type",
        validate=one_of(*COMPRESSION_TYPES),
    ),
    _topic(
        "compression.zstd.level",
        _I,
        "3",
        "Effort of zstd when compression.type is zstd.",
        synonym="compression.zstd.level",
        validate=between(-131072, 22),
    ),
    _topic(
        "delete.retention.ms",
        _L,
        "86400000",
        "How long a compacted topic keeps a tombstone, so that a reader has time to see it.",
        synonym="log.cleaner.delete.retention.ms",
        validate=between(0),
    ),
    _topic(
        "file.delete.delay.ms",
        _L,
        "60000",
        "Time between taking a file out of the log and removing it from the disk.",
        synonym="log.segment.delete.delay.ms",
        validate=between(0),
    ),
    _topic(
        "flush.messages",
        _L,
        str(MAX_LONG),
        "Records after which a flush is forced; matters where flush.mode is not fsync.",
        synonym="log.flush.interval.messages",
        validate=between(1),
    ),
    _topic(
        "flush.mode",
        _S,
        "fsync",
        "What an acks=all reply promises: fsync waits for a disk flush on every in-sync replica, "
        "replicated for their page cache (Kafka's rule), none for nothing.",
        synonym="flush.mode",
        validate=one_of(*FLUSH_MODES),
    ),
    _topic(
        "flush.ms",
        _L,
        str(MAX_LONG),
        "Time after which a flush is forced; matters where flush.mode is not fsync.",
        synonym="log.flush.interval.ms",
        validate=between(0),
    ),
    _topic(
        "follower.replication.throttled.replicas",
        _LIST,
        "",
        "Replicas whose fetching is throttled: pairs partition:broker, or * for all.",
        validate=throttled_replicas,
    ),
    _topic(
        "index.interval.bytes",
        _I,
        "4096",
        "Bytes appended between two entries of the offset index.",
        synonym="log.index.interval.bytes",
        validate=between(0),
    ),
    _topic(
        "internal.segment.bytes",
        _I,
        None,
        "Overrides segment.bytes without its lower bound: tiny segments for tests.",
        validate=between(1),
    ),
    _topic(
        "leader.replication.throttled.replicas",
        _LIST,
        "",
        "Replicas whose serving to followers is throttled: pairs partition:broker, or * for all.",
        validate=throttled_replicas,
    ),
    _topic(
        "local.retention.bytes",
        _L,
        "-2",
        "Bytes of a tiered partition that stay on the local disk; -2 means retention.bytes.",
        synonym="log.local.retention.bytes",
        validate=between(-2),
    ),
    _topic(
        "local.retention.ms",
        _L,
        "-2",
        "Time that a tiered segment stays on the local disk; -2 means retention.ms.",
        synonym="log.local.retention.ms",
        validate=between(-2),
    ),
    _topic(
        "max.compaction.lag.ms",
        _L,
        str(MAX_LONG),
        "Longest time that a record of a compacted topic stays uncompacted.",
        synonym="log.cleaner.max.compaction.lag.ms",
        validate=between(1),
    ),
    _topic(
        "max.message.bytes",
        _I,
        "1048588",
        "Largest batch that the topic takes, in bytes as sent.",
        synonym="message.max.bytes",
        validate=between(0),
    ),
    _topic(
        "message.timestamp.after.max.ms",
        _L,
        "3600000",
        "How far a record's timestamp may lie ahead of the broker's clock.",
        synonym="log.message.timestamp.after.max.ms",
        validate=between(0),
    ),
    _topic(
        "message.timestamp.before.max.ms",
        _L,
        str(MAX_LONG),
        "How far a record's timestamp may lie behind the broker's clock.",
        synonym="log.message.timestamp.before.max.ms",
        validate=between(0),
    ),
    _topic(
        "message.timestamp.type",
        _S,
        "CreateTime",
        "Whose time a record carries: the producer's (CreateTime) or the broker's (LogAppendTime).",
        synonym="log.message.timestamp.type",
        validate=one_of(*TIMESTAMP_TYPES),
    ),
    _topic(
        "min.cleanable.dirty.ratio",
        _D,
        "0.5",
        "Share of uncompacted bytes from which a log is compacted.",
        synonym="log.cleaner.min.cleanable.ratio",
        validate=between(0, 1),
    ),
    _topic(
        "min.compaction.lag.ms",
        _L,
        "0",
        "Shortest time that a record of a compacted topic stays uncompacted.",
        synonym="log.cleaner.min.compaction.lag.ms",
        validate=between(0),
    ),
    _topic(
        "min.insync.replicas",
        _I,
        "1",
        "In-sync replicas that an acks=all produce needs.",
        synonym="min.insync.replicas",
        validate=between(1),
    ),
    _topic(
        "preallocate",
        _B,
        "false",
        "Reserve the blocks of a segment when it is made; its size is not changed by that.",
        synonym="log.preallocate",
    ),
    _topic(
        "remote.copy.lag.bytes",
        _L,
        "-2",
        "Copy a segment of a tiered topic to the cold tier once so many bytes came after it; -2 "
        "and 0 mean as soon as it is closed.",
        validate=between(-2),
    ),
    _topic(
        "remote.copy.lag.ms",
        _L,
        "-2",
        "Copy a segment of a tiered topic to the cold tier once its newest record is so old; -2 "
        "and 0 mean as soon as it is closed.",
        validate=between(-2),
    ),
    _topic(
        "remote.log.copy.disable",
        _B,
        "false",
        "Stop copying segments of a tiered topic to the cold tier; what is there stays readable.",
    ),
    _topic(
        "remote.log.delete.on.disable",
        _B,
        "false",
        "Delete what the cold tier holds of the topic when remote.storage.enable is turned off.",
    ),
    _topic(
        "remote.storage.enable",
        _B,
        "false",
        "Move closed segments of the topic to the cold tier.",
    ),
    _topic(
        "retention.bytes",
        _L,
        "-1",
        "Size beyond which the oldest segments of a partition are deleted; -1 means no limit.",
        synonym="log.retention.bytes",
    ),
    _topic(
        "retention.ms",
        _L,
        "604800000",
        "Age beyond which segments are deleted; -1 means no limit.",
        synonym="log.retention.ms",
        validate=between(-1),
    ),
    _topic(
        "segment.bytes",
        _I,
        "1073741824",
        "Size at which a segment is closed and the next one begun.",
        synonym="log.segment.bytes",
        validate=between(1048576),
    ),
    _topic(
        "segment.index.bytes",
        _I,
        "10485760",
        "Largest size of an index file; a full index closes its segment.",
        synonym="log.index.size.max.bytes",
        validate=between(4),
    ),
    _topic(
        "segment.jitter.ms",
        _L,
        "0",
        "Largest random time taken off segment.ms, so that not all segments close at once.",
        synonym="log.roll.jitter.ms",
        validate=between(0),
    ),
    _topic(
        "segment.ms",
        _L,
        "604800000",
        "Age at which a segment is closed even if it is not full.",
        synonym="log.roll.ms",
        validate=between(1),
    ),
    _topic(
        "tier.max.lag.ms",
        _L,
        "3600000",
        "Close the active segment of a tiered topic at this age, so that a quiet partition's "
        "records reach the cold tier, too; -1 means never.",
        validate=between(-1),
        synonym="log.tier.max.lag.ms",
    ),
    _topic(
        "unclean.leader.election.enable",
        _B,
        "false",
        "Allow a replica that is not in sync to lead; acknowledged records may be lost by that.",
        synonym="unclean.leader.election.enable",
    ),
)
