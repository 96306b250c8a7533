"""What a topic may be set to, beyond the range of each key."""

import pytest

from tierbroker.base.errors import InvalidConfigError
from tierbroker.broker.topic_settings import check_topic_settings, settings_of_new_topic
from tierbroker.hot.config_origin import BrokerLayer, ConfigSource, TopicConfigs


def test_ordinary_settings_pass() -> None:
    check_topic_settings(
        TopicConfigs(), {"retention.ms": "1000", "cleanup.policy": "compact"}, tiered=False
    )
    check_topic_settings(TopicConfigs(), {"remote.storage.enable": "true"}, tiered=True)


@pytest.mark.parametrize(
    ("texts", "complaint", "tiered"),
    [
        ({"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}, "exceeds", True),
        ({"remote.storage.enable": "true"}, "has no cold tier", False),
        ({"remote.storage.enable": "true", "cleanup.policy": "compact"}, "compacted", True),
        ({"retention.mz": "1"}, "did you mean", True),
    ],
)
def test_what_cannot_be_carried_out_is_refused(
    texts: dict[str, str], complaint: str, tiered: bool
) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        check_topic_settings(TopicConfigs(), texts, tiered=tiered)


TIERED = {"remote.storage.enable": "true"}


@pytest.mark.parametrize("after", [{}, {"remote.storage.enable": "false"}])
def test_cold_data_goes_only_where_that_is_said(after: dict[str, str]) -> None:
    """As Kafka 4.3.0 has it, also for a setting that is removed (KIP-950)."""
    with pytest.raises(InvalidConfigError) as refused:
        check_topic_settings(TopicConfigs(), after, TIERED, tiered=True)
    for way_out in ("remote.log.copy.disable=true", "remote.log.delete.on.disable=true"):
        assert way_out in str(refused.value)
    told = {**after, "remote.log.delete.on.disable": "true"}
    check_topic_settings(TopicConfigs(), told, TIERED, tiered=True)
    check_topic_settings(TopicConfigs(), after, {}, tiered=True)
    check_topic_settings(TopicConfigs(), after, after, tiered=True)


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        ({"local.retention.ms": "1000"}, "local.retention.ms"),
        ({"local.retention.bytes": "100"}, "local.retention.bytes"),
        ({"retention.ms": "5", "local.retention.ms": "4"}, "local.retention.ms"),
    ],
)
def test_without_copies_the_local_part_is_all_there_will_be(
    texts: dict[str, str], key: str
) -> None:
    stopped = {**TIERED, "remote.log.copy.disable": "true"}
    with pytest.raises(InvalidConfigError, match=f"{key}=.*must be the same"):
        check_topic_settings(TopicConfigs(), {**stopped, **texts}, TIERED, tiered=True)
    check_topic_settings(TopicConfigs(), {**stopped, key: "-2"}, TIERED, tiered=True)
    check_topic_settings(TopicConfigs(), {**TIERED, **texts}, TIERED, tiered=True)
    untiered = {"remote.log.copy.disable": "true", **texts}
    check_topic_settings(TopicConfigs(), untiered, {}, tiered=True)
    same = {**stopped, "retention.ms": "7", "local.retention.ms": "7"}
    check_topic_settings(TopicConfigs(), same, TIERED, tiered=True)


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({"cleanup.policy": "compact"}, "compacted"),
        ({"cleanup.policy": "compact,delete"}, "compacted"),
        ({"retention.ms": "10", "local.retention.ms": "11"}, "exceeds retention.ms=10"),
        ({"retention.ms": "10", "local.retention.ms": "-1"}, "exceeds retention.ms=10"),
        ({"retention.bytes": "10", "local.retention.bytes": "11"}, "exceeds retention.bytes=10"),
        ({"local.retention.ms": "-3"}, "local.retention.ms"),
    ],
)
def test_what_a_tiered_topic_cannot_be(texts: dict[str, str], complaint: str) -> None:
    with pytest.raises(InvalidConfigError, match=complaint):
        check_topic_settings(TopicConfigs(), {**TIERED, **texts}, {}, tiered=True)


@pytest.mark.parametrize(
    "texts",
    [
        {"cleanup.policy": ""},
        {"retention.ms": "-1", "local.retention.ms": "-1"},
        {"retention.bytes": "-1", "local.retention.bytes": "2000"},
        {"local.retention.ms": "-2", "local.retention.bytes": "-2"},
    ],
)
def test_what_a_tiered_topic_can_be(texts: dict[str, str]) -> None:
    check_topic_settings(TopicConfigs(), {**TIERED, **texts}, {}, tiered=True)


def configs(**texts: str) -> TopicConfigs:
    """Of a broker with these settings."""
    named = {key.replace("_", "."): value for key, value in texts.items()}
    return TopicConfigs([BrokerLayer(ConfigSource.STATIC_BROKER_CONFIG, named)])


def test_new_topics_are_tiered_where_the_broker_says_so() -> None:
    def given(name: str, texts: dict[str, str], *, tiered: bool = True, **broker: str) -> object:
        return settings_of_new_topic(configs(**broker), name, texts, tiered=tiered)

    assert given("t", {}) == TIERED
    assert given("t", {"retention.ms": "1000"}) == TIERED
    assert given("t", {}, tiered=False) == {}
    assert given("t", {"remote.storage.enable": "false"}) == {}
    assert given("t", {"remote.storage.enable": "true"}) == {}  # it is there already
    assert given("t", {"cleanup.policy": "compact"}) == {}
    assert given("t", {}, log_cleanup_policy="compact,delete") == {}
    assert given("t", {"cleanup.policy": "delete"}, log_cleanup_policy="compact") == TIERED
    assert given("__consumer_offsets", {}) == {}
    assert given("__transaction_state", {}) == {}
    # The broker's local retention would outlive the topic.
    assert given("t", {"retention.ms": "1000"}, log_local_retention_ms="3600000") == {}
