"""Topic and broker keys of the log: Kafka's names, fallbacks, sources and refusals."""

import pytest

from tierbroker.base.config import ConfigSchema, Scope
from tierbroker.base.errors import InvalidConfigError
from tierbroker.hot.config import FlushMode, LogConfig, TimestampType
from tierbroker.hot.config_broker_keys import BROKER_KEYS
from tierbroker.hot.config_origin import (
    BrokerLayer,
    ConfigSource,
    TopicConfigs,
    explain_broker_key,
)
from tierbroker.hot.config_topic_keys import TOPIC_KEYS

# What LogConfig.CONFIG of Apache Kafka 4.3.0 lists, with its defaults.
KAFKA_TOPIC_DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.gzip.level": "-1",
    "compression.lz4.level": "9",
    "compression.type": "producer",
    "compression.zstd.level": "3",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": "9223372036854775807",
    "flush.ms": "9223372036854775807",
    "follower.replication.throttled.replicas": "",
    "index.interval.bytes": "4096",
    "internal.segment.bytes": None,
    "leader.replication.throttled.replicas": "",
    "local.retention.bytes": "-2",
    "local.retention.ms": "-2",
    "max.compaction.lag.ms": "9223372036854775807",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "remote.log.copy.disable": "false",
    "remote.log.delete.on.disable": "false",
    "remote.storage.enable": "false",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.index.bytes": "10485760",
    "segment.jitter.ms": "0",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
OURS = {
    "flush.mode": "fsync",
    "remote.copy.lag.bytes": "-2",  # Kafka's from 4.4 on (KIP-1241)
    "remote.copy.lag.ms": "-2",
    "tier.max.lag.ms": "3600000",
}


def static(**texts: str) -> TopicConfigs:
    named = {name.replace("_", "."): text for name, text in texts.items()}
    return TopicConfigs([BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, named)])


def test_keys_are_kafkas_and_a_few_of_ours() -> None:
    assert {key.name: key.default for key in TOPIC_KEYS} == KAFKA_TOPIC_DEFAULTS | OURS


def test_keys_can_live_in_one_schema_and_their_defaults_parse() -> None:
    schema = ConfigSchema((*TOPIC_KEYS, *BROKER_KEYS))
    assert schema.defaults(Scope.TOPIC)["segment.bytes"] == 1 << 30
    assert schema.defaults(Scope.BROKER)["log.retention.hours"] == 168


def test_every_synonym_is_a_broker_key() -> None:
    names = {key.name for key in BROKER_KEYS}
    assert {key.synonym for key in TOPIC_KEYS if key.synonym} <= names


def test_effective_defaults_are_the_topic_keys_own() -> None:
    values = TopicConfigs().values({})
    for key in TOPIC_KEYS:
        assert values[key.name] == key.parse(key.default), key.name


def test_log_config_of_defaults() -> None:
    config = LogConfig.from_values({})
    assert config.segment_bytes == 1 << 30
    assert config.flush_mode is FlushMode.FSYNC
    assert config.message_timestamp_type is TimestampType.CREATE_TIME
    assert config.deletes_by_retention
    assert not config.compacted
    assert config == TopicConfigs().log_config({})


def test_internal_segment_bytes_wins() -> None:
    config = TopicConfigs().log_config({"internal.segment.bytes": "100"})
    assert config.segment_bytes == 100


def test_jitter_never_exceeds_the_age() -> None:
    texts = {"segment.ms": "10", "segment.jitter.ms": "1000"}
    assert TopicConfigs().log_config(texts).segment_jitter_ms == 10


def test_local_retention_follows_retention() -> None:
    config = TopicConfigs().log_config({"retention.ms": "5", "retention.bytes": "6"})
    assert config.effective_local_retention_ms == 5
    assert config.effective_local_retention_bytes == 6


@pytest.mark.parametrize(
    ("texts", "milliseconds"),
    [
        ({"log.retention.hours": "2"}, 7_200_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, 180_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "4"}, 4),
        ({"log.retention.hours": "-7"}, -1),
        ({}, 604_800_000),
    ],
)
def test_retention_precedence(texts: dict[str, str], milliseconds: int) -> None:
    configs = TopicConfigs([BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, texts)])
    assert configs.log_config({}).retention_ms == milliseconds


def test_retention_of_zero_is_refused_for_the_broker() -> None:
    with pytest.raises(InvalidConfigError, match=r"log\.retention\.ms"):
        static(log_retention_ms="0")


def test_roll_hours_and_flush_scheduler_are_fallbacks() -> None:
    config = static(log_roll_hours="1", log_flush_scheduler_interval_ms="77").log_config({})
    assert (config.segment_ms, config.flush_ms) == (3_600_000, 77)


def test_topic_override_wins_over_the_broker() -> None:
    configs = static(message_max_bytes="10")
    assert configs.log_config({}).max_message_bytes == 10
    assert configs.log_config({"max.message.bytes": "20"}).max_message_bytes == 20


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cleanup.policy", "shrink"),
        ("compression.type", "none"),
        ("compression.gzip.level", "0"),
        ("compression.lz4.level", "18"),
        ("flush.mode", "sometimes"),
        ("internal.segment.bytes", "0"),
        ("leader.replication.throttled.replicas", "1:a"),
        ("max.message.bytes", "2147483648"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.insync.replicas", "0"),
        ("preallocate", "yes"),
        ("retention.ms", "-2"),
        ("retention.ms", "1e3"),
        ("segment.bytes", "100"),
    ],
)
def test_bad_value_names_the_key(name: str, text: str) -> None:
    with pytest.raises(InvalidConfigError, match=name.replace(".", r"\.")):
        TopicConfigs().values({name: text})


@pytest.mark.parametrize("text", ["", "compact", "compact,delete", "compact,compact"])
def test_cleanup_policies(text: str) -> None:
    config = TopicConfigs().log_config({"cleanup.policy": text})
    assert config.compacted == ("compact" in text)
    assert config.deletes_by_retention == ("delete" in text)


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(InvalidConfigError, match=r"retention\.ms"):
        TopicConfigs().values({"retention.mz": "1"})


@pytest.mark.parametrize(
    "texts",
    [
        {"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"},
        {"remote.storage.enable": "true", "retention.ms": "10", "local.retention.ms": "11"},
        {"remote.storage.enable": "true", "retention.bytes": "10", "local.retention.bytes": "-1"},
    ],
)
def test_contradictions_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        TopicConfigs().values(texts)


def test_a_log_goes_without_stored_settings_that_cannot_be_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stored = {
        "retention.ms": "12345",
        "of.another.release": "1",
        "segment.bytes": "many",
        "max.compaction.lag.ms": "10",
        "min.compaction.lag.ms": "100",
    }
    config = TopicConfigs().log_config(stored)
    defaults = TopicConfigs().log_config({})
    assert config.retention_ms == 12345
    assert config.max_compaction_lag_ms == 10
    assert config.segment_bytes == defaults.segment_bytes
    assert config.min_compaction_lag_ms == defaults.min_compaction_lag_ms
    for name in ("of.another.release", "segment.bytes", "min.compaction.lag.ms"):
        assert name in caplog.text


def test_a_tiered_compacted_topic_is_allowed() -> None:
    texts = {"remote.storage.enable": "true", "cleanup.policy": "compact"}
    assert TopicConfigs().log_config(texts).compacted


def test_explain_orders_sources() -> None:
    configs = TopicConfigs(
        [
            BrokerLayer(ConfigSource.DYNAMIC_BROKER_CONFIG, {"log.retention.minutes": "3"}),
            BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, {"log.retention.ms": "5"}),
        ]
    )
    origins = {origin.key.name: origin for origin in configs.explain({"retention.ms": "1"})}
    origin = origins["retention.ms"]
    assert (origin.text, origin.value, origin.source) == (
        "1",
        1,
        ConfigSource.DYNAMIC_TOPIC_CONFIG,
    )
    assert [(s.name, s.text, int(s.source)) for s in origin.synonyms] == [
        ("retention.ms", "1", 1),
        ("log.retention.minutes", "3", 2),
        ("log.retention.ms", "5", 4),
        ("log.retention.hours", "168", 5),
    ]
    without = {o.key.name: o for o in configs.explain({})}["retention.ms"]
    assert (without.text, without.source) == ("180000", ConfigSource.DYNAMIC_BROKER_CONFIG)


def test_explain_defaults_and_unset() -> None:
    origins = {origin.key.name: origin for origin in TopicConfigs().explain({})}
    assert origins.keys() == {key.name for key in TOPIC_KEYS} - {"internal.segment.bytes"}
    assert all(origin.is_default for origin in origins.values())
    assert origins["preallocate"].text == "false"
    assert origins["cleanup.policy"].text == "delete"
    assert origins["cleanup.policy"].synonyms[0].name == "log.cleanup.policy"


def test_an_internal_key_is_told_where_it_is_set() -> None:
    origins = {o.key.name: o for o in TopicConfigs().explain({"internal.segment.bytes": "4096"})}
    assert origins["internal.segment.bytes"].text == "4096"


def test_a_value_is_told_as_it_is_understood() -> None:
    origins = {o.key.name: o for o in TopicConfigs().explain({"preallocate": " TRUE"})}
    assert (origins["preallocate"].text, origins["preallocate"].synonyms[0].text) == ("true",) * 2


def test_explain_broker_key() -> None:
    keys = {key.name: key for key in BROKER_KEYS}
    layers = [BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, {"log.roll.hours": "5"})]
    origin = explain_broker_key(keys["log.roll.hours"], layers)
    assert (origin.value, origin.source) == (5, ConfigSource.STATIC_BROKER_CONFIG)
    assert [s.text for s in origin.synonyms] == ["5", "168"]
    unset = explain_broker_key(keys["log.roll.ms"], layers)
    assert (unset.text, unset.synonyms) == (None, ())
