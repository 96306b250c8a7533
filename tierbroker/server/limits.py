"""What one server may use. Must hold values only."""

from dataclasses import dataclass, field

from tierbroker.wire.connection import MAX_IN_FLIGHT
from tierbroker.wire.framing import DEFAULT_FRAME_LIMIT_BYTES

UNLIMITED_CONNECTIONS = 2_147_483_647


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One address to listen on. Port 0 takes any free one; an empty host means all addresses.

    `advertised_*` is what clients are told; the server itself does not use it.
    """

    name: str
    host: str
    port: int
    advertised_host: str | None = None
    advertised_port: int | None = None


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of one server; the names are those of the configuration keys."""

    max_connections: int = UNLIMITED_CONNECTIONS
    max_connections_per_ip: int = UNLIMITED_CONNECTIONS
    max_connections_per_ip_overrides: dict[str, int] = field(default_factory=dict)
    idle_timeout_s: float = 600.0
    request_max_bytes: int = DEFAULT_FRAME_LIMIT_BYTES
    memory_budget_bytes: int = 512 << 20
    max_in_flight: int = MAX_IN_FLIGHT
    output_limit_bytes: int = 64 << 10
    """Unsent bytes of a connection at which no further request of it is started."""
    read_turn_bytes: int = 1 << 20
    send_turn_bytes: int = 1 << 20
    backlog: int = 1024
    socket_send_buffer_bytes: int = -1
    socket_receive_buffer_bytes: int = -1
    sendfile: bool = True
    """Off: file slices are read and sent, as on file systems without sendfile."""
    slow_frame_s: float = 10.0
    """Time that a half-sent request has, plus one second per MiB, while others wait for memory."""
    half_closed_s: float = 30.0
    """Time in which a client that will send nothing more gets its answers."""
    descriptor_reserve: int = 64
    """Descriptors kept for logs and the metadata log: accepting pauses before they are used."""
