"""The broker's keys that concern the local log: Kafka's own, and ours in the same style (D-13).

Names, types, defaults and ranges of Kafka's keys are those of Apache Kafka 4.3. Must never read a
file, a clock or an environment variable.
"""

from tierbroker.base.config import ConfigKey, ConfigType, between, one_of
from tierbroker.hot.config_topic_keys import (
    CLEANUP_POLICIES,
    COMPRESSION_TYPES,
    FLUSH_MODES,
    MAX_LONG,
    TIMESTAMP_TYPES,
    gzip_level,
)

FLUSH_STRATEGIES = ("auto", "file", "syncfs")

_B, _S, _I, _L, _D, _LIST = (
    ConfigType.BOOLEAN,
    ConfigType.STRING,
    ConfigType.INT,
    ConfigType.LONG,
    ConfigType.DOUBLE,
    ConfigType.LIST,
)


def _default_of(topic_key: str) -> str:
    return f"Default of {topic_key} for topics that do not set it."


DIRECTORY_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey("log.dir", _LIST, "data", "Where the logs live, unless log.dirs says otherwise."),
    ConfigKey("log.dirs", _LIST, None, "Directories that the partitions are spread over."),
    ConfigKey(
        "log.disk.reserve.bytes",
        _L,
        "268435456",
        "Free space below which produce is refused, so that metadata and offsets stay writable.",
        validate=between(0),
    ),
)

FLUSH_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey("flush.mode", _S, "fsync", _default_of("flush.mode"), validate=one_of(*FLUSH_MODES)),
    ConfigKey(
        "log.flush.strategy",
        _S,
        "auto",
        "How dirty files reach the disk: file flushes each in turn, syncfs the whole file system "
        "at once, auto takes what is faster for the number of dirty files.",
        validate=one_of(*FLUSH_STRATEGIES),
    ),
    ConfigKey(
        "log.flush.interval.messages",
        _L,
        str(MAX_LONG),
        _default_of("flush.messages"),
        validate=between(1),
    ),
    ConfigKey("log.flush.interval.ms", _L, None, _default_of("flush.ms")),
    ConfigKey(
        "log.flush.scheduler.interval.ms",
        _L,
        str(MAX_LONG),
        "How often flush.ms is looked at; its default too where log.flush.interval.ms is not set.",
    ),
    ConfigKey(
        "replica.high.watermark.checkpoint.interval.ms",
        _L,
        "5000",
        "How often high watermarks are written down.",
    ),
)

SEGMENT_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "log.segment.bytes",
        _I,
        "1073741824",
        _default_of("segment.bytes"),
        validate=between(1048576),
    ),
    ConfigKey("log.roll.ms", _L, None, _default_of("segment.ms") + " Wins over log.roll.hours."),
    ConfigKey(
        "log.roll.hours", _I, "168", _default_of("segment.ms") + " In hours.", validate=between(1)
    ),
    ConfigKey("log.roll.jitter.ms", _L, None, _default_of("segment.jitter.ms")),
    ConfigKey(
        "log.roll.jitter.hours",
        _I,
        "0",
        _default_of("segment.jitter.ms") + " In hours.",
        validate=between(0),
    ),
    ConfigKey(
        "log.index.interval.bytes",
        _I,
        "4096",
        _default_of("index.interval.bytes"),
        validate=between(0),
    ),
    ConfigKey(
        "log.index.size.max.bytes",
        _I,
        "10485760",
        _default_of("segment.index.bytes"),
        validate=between(4),
    ),
    ConfigKey("log.preallocate", _B, "false", _default_of("preallocate")),
    ConfigKey(
        "log.segment.delete.delay.ms",
        _L,
        "60000",
        _default_of("file.delete.delay.ms"),
        validate=between(0),
    ),
)

RETENTION_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "log.cleanup.policy",
        _LIST,
        "delete",
        _default_of("cleanup.policy"),
        validate=one_of(*CLEANUP_POLICIES),
    ),
    ConfigKey("log.retention.bytes", _L, "-1", _default_of("retention.bytes")),
    ConfigKey(
        "log.retention.ms",
        _L,
        None,
        _default_of("retention.ms") + " Wins over the minutes and the hours.",
    ),
    ConfigKey(
        "log.retention.minutes",
        _I,
        None,
        _default_of("retention.ms") + " In minutes; wins over the hours.",
    ),
    ConfigKey("log.retention.hours", _I, "168", _default_of("retention.ms") + " In hours."),
    ConfigKey(
        "log.retention.check.interval.ms",
        _L,
        "300000",
        "How often retention looks for segments to delete.",
        validate=between(1),
    ),
    ConfigKey(
        "log.local.retention.bytes",
        _L,
        "-2",
        _default_of("local.retention.bytes"),
        validate=between(-2),
    ),
    ConfigKey(
        "log.local.retention.ms",
        _L,
        "-2",
        _default_of("local.retention.ms"),
        validate=between(-2),
    ),
    ConfigKey(
        "log.tier.max.lag.ms",
        _L,
        "3600000",
        _default_of("tier.max.lag.ms"),
        validate=between(-1),
    ),
    ConfigKey(
        "log.remote.storage.enable",
        _B,
        "false",
        "Set remote.storage.enable on new topics, unless they are compacted or say otherwise.",
    ),
    ConfigKey(
        "log.cleaner.delete.retention.ms",
        _L,
        "86400000",
        _default_of("delete.retention.ms"),
        validate=between(0),
    ),
    ConfigKey(
        "log.cleaner.min.compaction.lag.ms",
        _L,
        "0",
        _default_of("min.compaction.lag.ms"),
        validate=between(0),
    ),
    ConfigKey(
        "log.cleaner.max.compaction.lag.ms",
        _L,
        str(MAX_LONG),
        _default_of("max.compaction.lag.ms"),
        validate=between(1),
    ),
    ConfigKey(
        "log.cleaner.min.cleanable.ratio",
        _D,
        "0.5",
        _default_of("min.cleanable.dirty.ratio"),
        validate=between(0, 1),
    ),
)

CLEANER_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "log.cleaner.enable",
        _B,
        "true",
        "Whether logs with cleanup.policy=compact are compacted. The offsets of groups need it.",
    ),
    ConfigKey(
        "log.cleaner.threads",
        _I,
        "1",
        "Accepted for compatibility: one child process compacts one log after the other.",
        validate=between(0),
    ),
    ConfigKey(
        "log.cleaner.dedupe.buffer.size",
        _L,
        "33554432",
        "Memory that the compacting child process has for its key table, about 800,000 keys in "
        "32 MiB (Kafka's default is 128 MiB). A log with more keys takes several rounds.",
        validate=between(1048576),
    ),
    ConfigKey(
        "log.cleaner.io.buffer.size",
        _I,
        "524288",
        "Memory for each of the read and write buffers of the compacting child process.",
        validate=between(1),
    ),
    ConfigKey(
        "log.cleaner.io.buffer.load.factor",
        _D,
        "0.9",
        "How full the key table may be: more keys a round, and more steps to find one.",
        validate=between(0.1, 0.99),
    ),
    ConfigKey(
        "log.cleaner.io.max.bytes.per.second",
        _D,
        "1.7976931348623157E308",
        "Rate of reading and writing together that compaction stays below.",
        validate=between(1),
    ),
    ConfigKey(
        "log.cleaner.backoff.ms",
        _L,
        "15000",
        "How long compaction rests when no log needs it.",
        validate=between(0),
    ),
)

RECORD_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "message.max.bytes", _I, "1048588", _default_of("max.message.bytes"), validate=between(0)
    ),
    ConfigKey(
        "producer.id.expiration.ms",
        _I,
        "86400000",
        "Time after which a silent idempotent producer is forgotten, and may begin anew.",
        validate=between(1),
    ),
    ConfigKey(
        "log.message.timestamp.type",
        _S,
        "CreateTime",
        _default_of("message.timestamp.type"),
        validate=one_of(*TIMESTAMP_TYPES),
    ),
    ConfigKey(
        "log.message.timestamp.before.max.ms",
        _L,
        str(MAX_LONG),
        _default_of("message.timestamp.before.max.ms"),
        validate=between(0),
    ),
    ConfigKey(
        "log.message.timestamp.after.max.ms",
        _L,
        "3600000",
        _default_of("message.timestamp.after.max.ms"),
        validate=between(0),
    ),
    ConfigKey(
        "compression.type",
        _S,
        "producer",
        _default_of("compression.type"),
        validate=one_of(*COMPRESSION_TYPES),
    ),
    ConfigKey(
        "compression.gzip.level",
        _I,
        "-1",
        _default_of("compression.gzip.level"),
        validate=gzip_level,
    ),
    ConfigKey(
        "compression.lz4.level",
        _I,
        "9",
        _default_of("compression.lz4.level"),
        validate=between(1, 17),
    ),
    ConfigKey(
        "compression.zstd.level",
        _I,
        "3",
        _default_of("compression.zstd.level"),
        validate=between(-131072, 22),
    ),
    ConfigKey(
        "min.insync.replicas", _I, "1", _default_of("min.insync.replicas"), validate=between(1)
    ),
    ConfigKey(
        "unclean.leader.election.enable",
        _B,
        "false",
        _default_of("unclean.leader.election.enable"),
    ),
)

SCRUB_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "log.scrub.bytes.per.second",
        _L,
        str(4 * 1024 * 1024),
        "How fast the scrub reads logs to check the CRC of every batch; 0 switches it off. Damage "
        "that it finds is reported and not served.",
        validate=between(0),
    ),
    ConfigKey(
        "log.scrub.interval.ms",
        _L,
        str(7 * 24 * 60 * 60 * 1000),
        "How long after the beginning of one round over all logs the scrub begins the next.",
        validate=between(1),
    ),
)

BROKER_KEYS = (
    DIRECTORY_KEYS
    + FLUSH_KEYS
    + SEGMENT_KEYS
    + RETENTION_KEYS
    + CLEANER_KEYS
    + RECORD_KEYS
    + SCRUB_KEYS
)
"""Every broker key of this package, in the order of the reference page."""
