"""Deciding on configurations."""

from collections.abc import Mapping

import pytest

from tests.metadata_cluster import applied, cluster, environment, with_topic
from tierbroker.base.errors import (
    ApiError,
    InvalidConfigError,
    InvalidRequestError,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)
from tierbroker.controller.state.configs import (
    ConfigChange,
    ConfigOperation,
    ResourceChanges,
    ResourceConfigs,
    alter,
    alter_incrementally,
)
from tierbroker.controller.state.image import ConfigResource, MetadataImage, ResourceType

SET, DELETE, APPEND, SUBTRACT = ConfigOperation
TOPIC: ConfigResource = (ResourceType.TOPIC, "a")
BROKER: ConfigResource = (ResourceType.BROKER, "1")
CLUSTER: ConfigResource = (ResourceType.BROKER, "")


def image_with_topic() -> MetadataImage:
    return with_topic(cluster(1), "a", (1,))


def changed(
    image: MetadataImage, resource: ConfigResource, *changes: ConfigChange
) -> MetadataImage:
    result = alter_incrementally(image, [ResourceChanges(resource, changes)], environment())
    assert result.response[0].error is None, result.response
    return applied(image, result)


def test_set_and_delete() -> None:
    image = changed(image_with_topic(), TOPIC, ConfigChange("retention.ms", SET, "5"))
    assert image.configs.topic("a") == {"retention.ms": "5"}
    image = changed(image, TOPIC, ConfigChange("retention.ms", DELETE))
    assert image.configs.topic("a") == {}
    assert len(image.configs.topics) == 0


def test_only_changes_are_written() -> None:
    image = changed(image_with_topic(), TOPIC, ConfigChange("retention.ms", SET, "5"))
    request = ResourceChanges(
        TOPIC, (ConfigChange("retention.ms", SET, "5"), ConfigChange("cleanup.policy", DELETE))
    )
    assert alter_incrementally(image, [request], environment()).records == ()


def test_append_and_subtract_work_on_lists() -> None:
    image = changed(image_with_topic(), TOPIC, ConfigChange("cleanup.policy", APPEND, "compact"))
    assert image.configs.topic("a") == {"cleanup.policy": "delete,compact"}
    image = changed(image, TOPIC, ConfigChange("cleanup.policy", APPEND, "compact"))
    image = changed(image, TOPIC, ConfigChange("cleanup.policy", SUBTRACT, "delete,other"))
    assert image.configs.topic("a") == {"cleanup.policy": "compact"}


def test_broker_and_cluster_default() -> None:
    image = changed(image_with_topic(), BROKER, ConfigChange("log.retention.ms", SET, "5"))
    image = changed(image, CLUSTER, ConfigChange("log.retention.ms", SET, "6"))
    assert image.configs.broker(1) == {"log.retention.ms": "5"}
    assert image.configs.cluster_default() == {"log.retention.ms": "6"}
    image = changed(image, BROKER, ConfigChange("log.retention.ms", DELETE))
    assert image.configs.broker(1) == {}


@pytest.mark.parametrize(
    ("resource", "change", "error"),
    [
        ((2, "nope"), ConfigChange("retention.ms", SET, "5"), UnknownTopicOrPartitionError),
        ((2, "nope"), ConfigChange("retention.ms", SET, "x"), InvalidConfigError),
        ((2, "nope"), ConfigChange("retention.ms", APPEND, "x"), InvalidConfigError),
        ((2, "nope"), ConfigChange("retention.ms", SET, None), InvalidRequestError),
        ((2, "a b"), ConfigChange("retention.ms", SET, "5"), InvalidTopicError),
        ((4, "9"), ConfigChange("log.retention.ms", SET, "5"), InvalidRequestError),
        ((4, "x"), ConfigChange("log.retention.ms", SET, "5"), InvalidRequestError),
        ((16, "x"), ConfigChange("k", SET, "5"), InvalidRequestError),
        (TOPIC, ConfigChange("retention.ms", SET, None), InvalidRequestError),
        (TOPIC, ConfigChange("retention.ms", SET, "x"), InvalidConfigError),
        (TOPIC, ConfigChange("nope", SET, "5"), InvalidConfigError),
        (TOPIC, ConfigChange("retention.ms", APPEND, "5"), InvalidConfigError),
        (TOPIC, ConfigChange("nope", APPEND, "5"), InvalidConfigError),
        (TOPIC, ConfigChange("retention.ms", 9, "5"), InvalidRequestError),
        (TOPIC, ConfigChange("cleanup.policy", SET, "x" * 40_000), InvalidConfigError),
        (BROKER, ConfigChange("num.partitions", SET, "5"), InvalidRequestError),
    ],
)
def test_refused_changes(
    resource: ConfigResource, change: ConfigChange, error: type[ApiError]
) -> None:
    request = ResourceChanges(resource, (change,))
    result = alter_incrementally(image_with_topic(), [request], environment())
    assert type(result.response[0].error) is error
    assert result.records == ()


def test_a_key_or_a_resource_given_twice() -> None:
    twice = (ConfigChange("retention.ms", SET, "5"), ConfigChange("retention.ms", DELETE))
    request = ResourceChanges(TOPIC, twice)
    result = alter_incrementally(image_with_topic(), [request], environment())
    assert type(result.response[0].error) is InvalidRequestError
    request = ResourceChanges(TOPIC, twice[:1])
    result = alter_incrementally(image_with_topic(), [request, request], environment())
    assert [type(outcome.error) for outcome in result.response] == [InvalidRequestError]


def test_alter_replaces_everything() -> None:
    image = changed(image_with_topic(), TOPIC, ConfigChange("retention.ms", SET, "5"))
    request = ResourceConfigs(TOPIC, (("cleanup.policy", "compact"),))
    image = applied(image, alter(image, [request], environment()))
    assert image.configs.topic("a") == {"cleanup.policy": "compact"}


@pytest.mark.parametrize("values", [(("retention.ms", None),), (("a", "1"), ("a", "2"))])
def test_alter_refuses_null_and_repetition(values: tuple[tuple[str, str | None], ...]) -> None:
    result = alter(image_with_topic(), [ResourceConfigs(TOPIC, values)], environment())
    assert type(result.response[0].error) is InvalidRequestError


def test_validate_only_writes_nothing() -> None:
    request = ResourceConfigs(TOPIC, (("retention.ms", "7"),))
    result = alter(image_with_topic(), [request], environment(), validate_only=True)
    assert result.response[0].error is None
    assert result.records == ()


def test_settings_are_judged_together_and_against_those_before() -> None:
    seen: list[tuple[dict[str, str], dict[str, str]]] = []

    def check(wanted: Mapping[str, str], before: Mapping[str, str]) -> None:
        seen.append((dict(wanted), dict(before)))
        if "retention.ms" in before and "retention.ms" not in wanted:
            raise InvalidConfigError("it must stay")

    env = environment(check_topic=check)
    image = changed(image_with_topic(), TOPIC, ConfigChange("retention.ms", SET, "5"))
    for change, wanted in (
        (ConfigChange("retention.ms", DELETE), {}),
        (ConfigChange("retention.ms", SET, "6"), {"retention.ms": "6"}),
    ):
        result = alter_incrementally(image, [ResourceChanges(TOPIC, (change,))], env)
        assert seen.pop() == (wanted, {"retention.ms": "5"})
        assert (result.response[0].error is not None) is (not wanted)
        assert bool(result.records) is bool(wanted)
    same = ResourceChanges(TOPIC, (ConfigChange("retention.ms", SET, "5"),))
    alter_incrementally(image, [same], env)
    assert not seen
