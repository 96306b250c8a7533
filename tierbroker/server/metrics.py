"""Metrics of the socket server."""

from tierbroker.base.metrics import Samples, counter, gauge
from tierbroker.server.server import Server

CONNECTIONS = gauge("connections", "Open connections of Kafka clients.")
ACCEPTED = counter("connections_accepted_total", "Connections of Kafka clients since the start.")
RECEIVED = counter("received_bytes_total", "Bytes that came from Kafka clients.")
ANSWERED = counter("answered_bytes_total", "Bytes of answers to Kafka clients.")
REQUEST_MEMORY = gauge(
    "request_memory_bytes", "Requests that are in memory now; queued.max.request.bytes limits it."
)
REQUEST_MEMORY_LIMIT = gauge("request_memory_limit_bytes", "What requests may take of the memory.")

METRICS = (CONNECTIONS, ACCEPTED, RECEIVED, ANSWERED, REQUEST_MEMORY, REQUEST_MEMORY_LIMIT)


def samples(server: Server) -> Samples:
    """The server as it is now."""
    yield CONNECTIONS.at(server.connection_count)
    yield ACCEPTED.at(server.accepted_count)
    yield RECEIVED.at(server.received_bytes)
    yield ANSWERED.at(server.answered_bytes)
    yield REQUEST_MEMORY.at(server.memory.used_bytes)
    yield REQUEST_MEMORY_LIMIT.at(server.memory.limit_bytes)
