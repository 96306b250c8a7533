"""What a log needs to know of its configuration: `LogConfig`, made from parsed topic values.

The keys themselves are in `config_topic_keys` and `config_broker_keys`; where an effective value
comes from is decided by `config_origin`. Must never parse text or know a default of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tierbroker.base.config import ConfigValue
from tierbroker.base.errors import InvalidConfigError
from tierbroker.hot.config_topic_keys import TOPIC_KEYS

LOCAL_AS_TOTAL = -2
"""local.retention.*: take the value of retention.*."""


class FlushMode(Enum):
    """What an acks=all reply promises (D-6)."""

    FSYNC = "fsync"
    REPLICATED = "replicated"
    NONE = "none"


class TimestampType(Enum):
    """Whose time a record carries."""

    CREATE_TIME = "CreateTime"
    LOG_APPEND_TIME = "LogAppendTime"


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Effective configuration of one topic's logs. Times are milliseconds, sizes bytes."""

    cleanup_policy: tuple[str, ...]
    compression_gzip_level: int
    compression_lz4_level: int
    compression_type: str
    compression_zstd_level: int
    delete_retention_ms: int
    file_delete_delay_ms: int
    flush_messages: int
    flush_mode: FlushMode
    flush_ms: int
    index_interval_bytes: int
    local_retention_bytes: int
    local_retention_ms: int
    max_compaction_lag_ms: int
    max_message_bytes: int
    message_timestamp_after_max_ms: int
    message_timestamp_before_max_ms: int
    message_timestamp_type: TimestampType
    min_cleanable_dirty_ratio: float
    min_compaction_lag_ms: int
    min_insync_replicas: int
    preallocate: bool
    remote_copy_lag_bytes: int
    remote_copy_lag_ms: int
    remote_log_copy_disable: bool
    remote_log_delete_on_disable: bool
    remote_storage_enable: bool
    retention_bytes: int
    retention_ms: int
    segment_bytes: int
    """internal.segment.bytes where that is set, else segment.bytes."""
    segment_index_bytes: int
    segment_jitter_ms: int
    """Largest jitter; never more than segment_ms."""
    segment_ms: int
    tier_max_lag_ms: int
    unclean_leader_election_enable: bool

    @property
    def compacted(self) -> bool:
        """Whether the log is compacted, and so needs a key in every record."""
        return "compact" in self.cleanup_policy

    @property
    def max_segment_ms(self) -> int:
        """Age at which a segment is rolled: the active one is never compacted, so
        max.compaction.lag.ms limits it too (Kafka: LogConfig.maxSegmentMs)."""
        if self.compacted:
            return min(self.segment_ms, max(self.max_compaction_lag_ms, 1))
        return self.segment_ms

    def compression_level(self, codec: str) -> int | None:
        """The level set for a codec of compression.type; None for one that has no levels."""
        levels = {
            "gzip": self.compression_gzip_level,
            "lz4": self.compression_lz4_level,
            "zstd": self.compression_zstd_level,
        }
        return levels.get(codec)

    @property
    def deletes_by_retention(self) -> bool:
        """Whether age and size remove whole segments."""
        return "delete" in self.cleanup_policy

    @property
    def effective_local_retention_ms(self) -> int:
        """local.retention.ms with "as retention.ms" resolved."""
        local = self.local_retention_ms
        return self.retention_ms if local == LOCAL_AS_TOTAL else local

    @property
    def effective_local_retention_bytes(self) -> int:
        """local.retention.bytes with "as retention.bytes" resolved."""
        local = self.local_retention_bytes
        return self.retention_bytes if local == LOCAL_AS_TOTAL else local

    @classmethod
    def from_values(cls, values: Mapping[str, ConfigValue]) -> "LogConfig":
        """The configuration of parsed values by key name; keys that are absent take the default.

        Raises InvalidConfigError where values contradict each other.
        """
        merged = {**_DEFAULTS, **values}
        check_consistent(merged)
        fields: dict[str, Any] = {
            field: merged[name] for field, name in _FIELD_KEYS.items() if name in merged
        }
        fields["flush_mode"] = FlushMode(fields["flush_mode"])
        fields["message_timestamp_type"] = TimestampType(fields["message_timestamp_type"])
        if merged.get("internal.segment.bytes") is not None:
            fields["segment_bytes"] = merged["internal.segment.bytes"]
        fields["segment_jitter_ms"] = min(fields["segment_jitter_ms"], fields["segment_ms"])
        return cls(**fields)


def check_consistent(values: Mapping[str, ConfigValue]) -> None:
    """Refuse topic values that contradict each other; raises InvalidConfigError.

    Rules of Kafka's LogConfig.validate, but for the one that forbids tiered compacted topics.
    """
    _at_most(values, "min.compaction.lag.ms", "max.compaction.lag.ms")
    if values.get("remote.storage.enable"):
        for kind in ("ms", "bytes"):
            local, total = values[f"local.retention.{kind}"], values[f"retention.{kind}"]
            assert isinstance(local, int)
            assert isinstance(total, int)
            if local == LOCAL_AS_TOTAL or total == -1:
                continue
            if local == -1 or local > total:
                raise InvalidConfigError(
                    f"local.retention.{kind}={local} exceeds retention.{kind}={total}: "
                    f"the local part cannot outlive the whole; lower it or set -2"
                )
        if values.get("remote.log.copy.disable"):
            _local_as_total(values)


def _local_as_total(values: Mapping[str, ConfigValue]) -> None:
    """Where nothing is copied any more, what leaves this disk is gone (KIP-950)."""
    for kind in ("ms", "bytes"):
        local, total = values[f"local.retention.{kind}"], values[f"retention.{kind}"]
        if local not in (LOCAL_AS_TOTAL, total):
            raise InvalidConfigError(
                f"remote.log.copy.disable=true: nothing is copied to the cold tier any more, so "
                f"local.retention.{kind}={local} must be the same as retention.{kind}={total}; "
                "set it to -2"
            )


def _at_most(values: Mapping[str, ConfigValue], low_name: str, high_name: str) -> None:
    low, high = values[low_name], values[high_name]
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low > high:
        raise InvalidConfigError(f"{low_name}={low} exceeds {high_name}={high}")


_DEFAULTS: dict[str, ConfigValue] = {key.name: key.parse(key.default) for key in TOPIC_KEYS}
_FIELD_KEYS = {field: field.replace("_", ".") for field in LogConfig.__slots__}
