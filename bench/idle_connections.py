"""Opens connections and keeps them: `python -m bench.idle_connections HOST:PORT COUNT`.

A process of its own, because both ends of a loopback connection need a descriptor. Each
connection asks one question, as every client does, so that the broker has made all that it
keeps for one. A line is written when all are open; they stay until standard input ends.
"""

import resource
import socket
import sys
import time

from bench.wire_client import VERSIONS_REQUEST

AT_ONCE = 40
"""Fewer than Kafka lets wait to be accepted (50): a refused one tries again after a second."""
TIMEOUT_S = 60.0


def open_all(bootstrap: str, count: int) -> list[socket.socket]:
    """Connect, ask and wait for the answers, some at a time."""
    host, _, port = bootstrap.rpartition(":")
    connections: list[socket.socket] = []
    while len(connections) < count:
        fresh = []
        for _ in range(min(AT_ONCE, count - len(connections))):
            connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
            connection.sendall(VERSIONS_REQUEST)
            fresh.append(connection)
        for connection in fresh:
            if not connection.recv(65536):
                raise ConnectionError(f"refused after {len(connections)} connections")
        connections += fresh
    return connections


def main() -> None:
    """Open, tell, wait."""
    bootstrap, count = sys.argv[1], int(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.perf_counter()
    connections = open_all(bootstrap, count)
    print(time.perf_counter() - started, flush=True)
    sys.stdin.read()
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    main()
