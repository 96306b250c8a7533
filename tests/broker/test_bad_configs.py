"""Whole sets of settings that cannot be had: the code of each refusal, and nothing is changed.

Expectations are Apache Kafka 4.3's: `pytest --kafka-bootstrap` puts the same tests to it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.broker.wire_client import WireClient
from tierbroker.testing.target import BrokerTarget
from tierbroker.wire.error_codes import ErrorCode
from tierbroker.wire.messages.alter_configs import (
    AlterableConfig,
    AlterConfigsRequest,
    AlterConfigsResource,
)
from tierbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)

OK, INVALID = ErrorCode.NONE, ErrorCode.INVALID_REQUEST
TOPIC, BROKER = 2, 4
OF_THE_TOPIC = 1


def resource(kind: int, name: str, settings: Any = ()) -> AlterConfigsResource:
    configs = [AlterableConfig(*setting) for setting in dict(settings).items()]
    return AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)


def set_all(
    client: WireClient, *resources: AlterConfigsResource, version: int = 2, **how: Any
) -> list[ErrorCode]:
    answer = client.call(AlterConfigsRequest(resources=list(resources), **how), version)
    return [ErrorCode(entry.error_code) for entry in answer.responses]


def settings_of(client: WireClient, topic: str) -> dict[str, str]:
    asked = DescribeConfigsResource(
        resource_type=TOPIC, resource_name=topic, configuration_keys=None
    )
    (result,) = client.call(DescribeConfigsRequest(resources=[asked]), 4).results
    return {one.name: one.value for one in result.configs if one.config_source == OF_THE_TOPIC}


@pytest.fixture
def configured(make_topic: Callable[..., str]) -> str:
    """A topic with two settings of its own."""
    return make_topic(**{"retention.ms": "100000", "segment.ms": "7000"})


@pytest.mark.parametrize("version", [0, 1, 2])
def test_what_is_not_named_goes(client: WireClient, configured: str, version: int) -> None:
    new = {"retention.ms": "200000", "max.message.bytes": "2000"}
    assert set_all(client, resource(TOPIC, configured, new), version=version) == [OK]
    assert settings_of(client, configured) == new
    assert set_all(client, resource(TOPIC, configured), version=version) == [OK]
    assert settings_of(client, configured) == {}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"retention.ms": "soon"}, ErrorCode.INVALID_CONFIG),
        ({"retention.ms": ""}, ErrorCode.INVALID_CONFIG),
        ({"retention.ms": None}, INVALID),
        ({"no.such.key": "1"}, ErrorCode.INVALID_CONFIG),
        ({"": "1"}, ErrorCode.INVALID_CONFIG),
        (
            {"min.compaction.lag.ms": "100", "max.compaction.lag.ms": "10"},
            ErrorCode.INVALID_CONFIG,
        ),
    ],
)
def test_a_bad_setting_spoils_the_set(
    client: WireClient, configured: str, settings: dict[str, str | None], code: ErrorCode
) -> None:
    bad = resource(TOPIC, configured, {"cleanup.policy": "compact", **settings})
    assert set_all(client, bad) == [code]
    assert settings_of(client, configured) == {"retention.ms": "100000", "segment.ms": "7000"}


def test_a_key_that_is_given_twice(client: WireClient, configured: str) -> None:
    twice = resource(TOPIC, configured)
    twice.configs = [AlterableConfig("retention.ms", value) for value in ("1", "2")]
    assert set_all(client, twice) == [INVALID]
    assert settings_of(client, configured)["retention.ms"] == "100000"


def test_a_resource_that_is_given_twice(
    client: WireClient, configured: str, kafka_broker: BrokerTarget
) -> None:
    if not kafka_broker.embedded:
        pytest.skip("Apache Kafka never answers")
    twice = [resource(TOPIC, configured, {"retention.ms": value}) for value in ("1", "2")]
    assert set_all(client, *twice) == [INVALID] * 2
    assert settings_of(client, configured)["retention.ms"] == "100000"


def test_looking_changes_nothing(client: WireClient, configured: str) -> None:
    assert set_all(client, resource(TOPIC, configured), validate_only=True) == [OK]
    assert len(settings_of(client, configured)) == 2


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nowhere", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", INVALID),
        (BROKER, "99", INVALID),
        (BROKER, "one", INVALID),
        (0, "x", INVALID),
        (3, "x", INVALID),
        (8, "x", INVALID),
        (77, "x", INVALID),
        (-1, "x", INVALID),
    ],
)
def test_a_resource_that_is_not_there(
    client: WireClient, configured: str, kind: int, name: str, code: ErrorCode
) -> None:
    found = set_all(client, resource(kind, name), resource(TOPIC, configured))
    # The others of the request are served.
    assert sorted(found) == sorted([code, OK])
    assert settings_of(client, configured) == {}


def test_settings_that_only_a_start_can_change(client: WireClient) -> None:
    for name in ("", "1"):
        assert set_all(client, resource(BROKER, name, {"num.partitions": "3"})) == [INVALID]
