"""The keys of the socket server, and what they come to. Names are Kafka's (D-13).

Defaults are those of Apache Kafka 4.3 but for the socket buffers, which are left to the kernel:
a fixed size switches its tuning off.
"""

import re
from collections.abc import Mapping

from tierbroker.base.config import ConfigKey, ConfigType, ConfigValue, between
from tierbroker.base.errors import InvalidConfigError
from tierbroker.server.limits import UNLIMITED_CONNECTIONS, ListenerConfig, ServerLimits
from tierbroker.server.machine_memory import memory_limit_bytes

MAX_INT = 2_147_483_647
DEFAULT_KAFKA_PORT = 9092
DEFAULT_HTTP_PORT = 9644
HTTP_LISTENER = "http.listener"
NEVER_S = 10 * 365 * 86_400.0
MEMORY_SHARE = 4
"""Without queued.max.request.bytes, requests may take this fraction of the memory: a quarter."""

_LISTENER = re.compile(r"([A-Za-z][A-Za-z0-9_]*)://(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/]*):(\d{1,5})")
_HTTP_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:/]*):(\d{1,5})")


def _check_socket_buffer(value: ConfigValue) -> None:
    assert isinstance(value, int)
    if value != -1 and value < 1:
        raise ValueError("must be -1 (the kernel decides) or at least 1")


def _check_queued_bytes(value: ConfigValue) -> None:
    assert isinstance(value, int)
    if value != -1 and value < 1:
        raise ValueError("must be -1 (a quarter of the memory) or at least 1")


def _check_listeners(value: ConfigValue) -> None:
    assert isinstance(value, tuple)
    for text in value:
        _split(text)


def _check_http_listener(value: ConfigValue) -> None:
    if value:
        parse_http_listener(str(value))


SERVER_KEYS: tuple[ConfigKey, ...] = (
    ConfigKey(
        "listeners",
        ConfigType.LIST,
        "PLAINTEXT://:9092",
        "Addresses to listen on, NAME://host:port. An empty host means all addresses, port 0 any "
        "free port.",
        validate=_check_listeners,
    ),
    ConfigKey(
        "advertised.listeners",
        ConfigType.LIST,
        None,
        "Addresses that clients are told to connect to, NAME://host:port; those of listeners "
        "when not set.",
        validate=_check_listeners,
    ),
    ConfigKey(
        "listener.security.protocol.map",
        ConfigType.LIST,
        "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
        "What each listener name speaks, NAME:PROTOCOL. Only PLAINTEXT can be listened on.",
    ),
    ConfigKey(
        "socket.request.max.bytes",
        ConfigType.INT,
        "104857600",
        "The largest request; a longer one closes its connection.",
        validate=between(1024, MAX_INT),
    ),
    ConfigKey(
        "socket.send.buffer.bytes",
        ConfigType.INT,
        "-1",
        "SO_SNDBUF of client connections; -1 leaves it to the kernel.",
        validate=_check_socket_buffer,
    ),
    ConfigKey(
        "socket.receive.buffer.bytes",
        ConfigType.INT,
        "-1",
        "SO_RCVBUF of client connections; -1 leaves it to the kernel.",
        validate=_check_socket_buffer,
    ),
    ConfigKey(
        "socket.listen.backlog.size",
        ConfigType.INT,
        "1024",
        "Connections that may wait to be accepted; the kernel's somaxconn limits it too.",
        validate=between(1, MAX_INT),
    ),
    ConfigKey(
        "connections.max.idle.ms",
        ConfigType.LONG,
        "600000",
        "A connection on which nothing moved for this long is closed; negative: never.",
    ),
    ConfigKey(
        "max.connections",
        ConfigType.INT,
        str(UNLIMITED_CONNECTIONS),
        "Connections at a time; further clients wait until one is closed.",
        validate=between(1, MAX_INT),
    ),
    ConfigKey(
        "max.connections.per.ip",
        ConfigType.INT,
        str(UNLIMITED_CONNECTIONS),
        "Connections at a time from one address; a further one is closed.",
        validate=between(0, MAX_INT),
    ),
    ConfigKey(
        "max.connections.per.ip.overrides",
        ConfigType.LIST,
        "",
        "Other limits for some addresses, address:count. An IPv6 address goes in brackets.",
    ),
    ConfigKey(
        "queued.max.request.bytes",
        ConfigType.LONG,
        "-1",
        "Memory that requests may take before reading from clients stops; -1 is a quarter of the "
        "memory of the machine or its control group.",
        validate=_check_queued_bytes,
    ),
    ConfigKey(
        HTTP_LISTENER,
        ConfigType.STRING,
        None,
        "Where health and metrics are answered by HTTP, host:port; port 0 takes any free one. Not "
        f"set: 127.0.0.1:{DEFAULT_HTTP_PORT} beside a broker on port {DEFAULT_KAFKA_PORT}, else a "
        "free port of 127.0.0.1. Empty: nowhere. There is no login: other addresses than loopback "
        "show the metrics to whoever reaches them. A broker tells its own address under this name.",
        validate=_check_http_listener,
    ),
)


def _split(text: str) -> tuple[str, str, int]:
    match = _LISTENER.fullmatch(text)
    if match is None or int(match[3]) > 65_535:
        raise ValueError(f"{text!r} is not NAME://host:port")
    return match[1].upper(), match[2].strip("[]"), int(match[3])


def parse_http_listener(text: str) -> tuple[str, int]:
    """Host and port of `http.listener`; an empty host means all addresses. Raises ValueError."""
    match = _HTTP_ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > 65_535:
        raise ValueError(f"{text!r} is not host:port")
    return match[1].strip("[]"), int(match[2])


def parse_listeners(values: Mapping[str, ConfigValue]) -> list[ListenerConfig]:
    """The listeners that the parsed values describe; raises InvalidConfigError."""
    advertised = {
        name: (host, port)
        for name, host, port in map(_split, _texts(values.get("advertised.listeners")))
    }
    protocols = dict(
        item.upper().split(":", 1)
        for item in _texts(values["listener.security.protocol.map"])
        if ":" in item
    )
    listeners: list[ListenerConfig] = []
    for name, host, port in map(_split, _texts(values["listeners"])):
        if any(name == other.name for other in listeners):
            raise InvalidConfigError(f"listeners: the name {name} is used twice")
        if any(port and port == other.port and host == other.host for other in listeners):
            raise InvalidConfigError(f"listeners: {host}:{port} is there twice")
        protocol = protocols.get(name)
        if protocol != "PLAINTEXT":
            raise InvalidConfigError(
                f"listeners: {name} speaks {protocol or 'an unknown protocol'}, and only PLAINTEXT "
                f"can be served. Add {name}:PLAINTEXT to listener.security.protocol.map"
            )
        told_host, told_port = advertised.pop(name, (None, None))
        listeners.append(ListenerConfig(name, host, port, told_host or None, told_port))
    if not listeners:
        raise InvalidConfigError("listeners: at least one is needed, as PLAINTEXT://:9092")
    if advertised:
        raise InvalidConfigError(
            f"advertised.listeners: {next(iter(advertised))} is not among the listeners"
        )
    return listeners


def server_limits(values: Mapping[str, ConfigValue]) -> ServerLimits:
    """The limits that the parsed values describe; raises InvalidConfigError."""
    largest = _number(values, "socket.request.max.bytes")
    budget = _number(values, "queued.max.request.bytes")
    if budget == -1:
        budget = max(largest, memory_limit_bytes() // MEMORY_SHARE)
    if budget < largest:
        raise InvalidConfigError(
            f"queued.max.request.bytes ({budget}) must be at least socket.request.max.bytes "
            f"({largest}), or the largest request would wait for ever"
        )
    idle_ms = _number(values, "connections.max.idle.ms")
    return ServerLimits(
        max_connections=_number(values, "max.connections"),
        max_connections_per_ip=_number(values, "max.connections.per.ip"),
        max_connections_per_ip_overrides=_overrides(
            _texts(values["max.connections.per.ip.overrides"])
        ),
        idle_timeout_s=idle_ms / 1000 if idle_ms >= 0 else NEVER_S,
        request_max_bytes=largest,
        memory_budget_bytes=budget,
        backlog=_number(values, "socket.listen.backlog.size"),
        socket_send_buffer_bytes=_number(values, "socket.send.buffer.bytes"),
        socket_receive_buffer_bytes=_number(values, "socket.receive.buffer.bytes"),
    )


def _texts(value: ConfigValue) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _number(values: Mapping[str, ConfigValue], name: str) -> int:
    value = values[name]
    assert isinstance(value, int)
    return value


def _overrides(items: tuple[str, ...]) -> dict[str, int]:
    overrides = {}
    for item in items:
        host, _, count = item.rpartition(":")
        if not host or not count.isdigit():
            raise InvalidConfigError(
                f"max.connections.per.ip.overrides: {item!r} is not address:count"
            )
        overrides[host.strip("[]")] = int(count)
    return overrides
