"""Listeners and limits from configuration texts."""

import pytest

from tierbroker.base.config import ConfigSchema, ConfigValue, Scope
from tierbroker.base.errors import InvalidConfigError
from tierbroker.server.config import SERVER_KEYS, parse_listeners, server_limits
from tierbroker.server.limits import ListenerConfig
from tierbroker.server.machine_memory import memory_limit_bytes

SCHEMA = ConfigSchema(SERVER_KEYS)


def values(**texts: str) -> dict[str, ConfigValue]:
    named = {name.replace("_", "."): text for name, text in texts.items()}
    return SCHEMA.defaults(Scope.BROKER) | SCHEMA.parse(named, Scope.BROKER)


def test_the_default_listens_on_all_addresses() -> None:
    assert parse_listeners(values()) == [ListenerConfig("PLAINTEXT", "", 9092)]


def test_several_listeners_with_other_names_and_advertised_addresses() -> None:
    parsed = parse_listeners(
        values(
            listeners="PLAINTEXT://0.0.0.0:9092, INSIDE://[::1]:0,out_side://my-host.example:19092",
            advertised_listeners="OUT_SIDE://kafka.example.org:443,PLAINTEXT://10.0.0.1:9092",
            listener_security_protocol_map=(
                "PLAINTEXT:PLAINTEXT,INSIDE:PLAINTEXT,out_side:plaintext"
            ),
        )
    )
    assert parsed == [
        ListenerConfig("PLAINTEXT", "0.0.0.0", 9092, "10.0.0.1", 9092),
        ListenerConfig("INSIDE", "::1", 0),
        ListenerConfig("OUT_SIDE", "my-host.example", 19092, "kafka.example.org", 443),
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("localhost:9092", "PLAINTEXT://host", "PLAINTEXT://host:66000", "PLAINTEXT:/h:1"),
        *("PLAINTEXT://::1:9092", "://h:1", "PLAINTEXT://h:-1", "PLAINTEXT://h:9 2"),
    ],
)
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="listeners"):
        values(listeners=text)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"listeners": ""}, "at least one"),
        ({"listeners": "SSL://:9093"}, "speaks SSL"),
        ({"listeners": "INSIDE://:9093"}, "speaks an unknown protocol"),
        ({"listeners": "PLAINTEXT://:1,PLAINTEXT://:2"}, "used twice"),
        (
            {
                "listeners": "PLAINTEXT://h:1,B://h:1",
                "listener_security_protocol_map": "PLAINTEXT:PLAINTEXT,B:PLAINTEXT",
            },
            "h:1 is there twice",
        ),
        ({"advertised_listeners": "OTHER://h:1"}, "OTHER is not among the listeners"),
    ],
)
def test_listeners_that_cannot_be(texts: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidConfigError, match=words):
        parse_listeners(values(**texts))


def test_default_limits() -> None:
    limits = server_limits(values())
    assert limits.request_max_bytes == 104_857_600
    assert limits.idle_timeout_s == 600
    assert limits.memory_budget_bytes == max(104_857_600, memory_limit_bytes() // 4)
    assert limits.max_connections_per_ip_overrides == {}


def test_limits_that_are_set() -> None:
    limits = server_limits(
        values(
            socket_request_max_bytes="2048",
            queued_max_request_bytes="10000",
            max_connections="7",
            max_connections_per_ip="3",
            max_connections_per_ip_overrides="10.0.0.1:5,[::1]:0",
            connections_max_idle_ms="1500",
            socket_send_buffer_bytes="100000",
        )
    )
    assert limits.request_max_bytes == 2048
    assert limits.memory_budget_bytes == 10_000
    assert (limits.max_connections, limits.max_connections_per_ip) == (7, 3)
    assert limits.max_connections_per_ip_overrides == {"10.0.0.1": 5, "::1": 0}
    assert limits.idle_timeout_s == 1.5
    assert limits.socket_send_buffer_bytes == 100_000


def test_a_negative_idle_time_is_never() -> None:
    assert server_limits(values(connections_max_idle_ms="-1")).idle_timeout_s > 1e8


@pytest.mark.parametrize(
    "texts",
    [
        {"queued_max_request_bytes": "1000"},
        {"queued_max_request_bytes": "0"},
        {"socket_send_buffer_bytes": "-2"},
        {"max_connections": "0"},
        {"max_connections_per_ip_overrides": "10.0.0.1"},
    ],
)
def test_limits_that_cannot_be(texts: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError):
        server_limits(values(**texts))
