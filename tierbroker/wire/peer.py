"""Who is at the other end of a connection, as a handler may know it.

Must never hold a socket: what a handler wants done to the connection, it says with its answer.
"""

from typing import Any


class Peer:
    """One client connection. `session` belongs to the broker; nobody else reads or sets it."""

    __slots__ = ("client_host", "client_port", "id", "listener_name", "local_address", "session")

    def __init__(
        self,
        connection_id: int,
        client_host: str,
        client_port: int,
        listener_name: str,
        local_address: tuple[str, int],
    ) -> None:
        self.id = connection_id
        self.client_host = client_host
        self.client_port = client_port
        self.listener_name = listener_name
        self.local_address = local_address
        self.session: Any = None

    def __repr__(self) -> str:
        return (
            f"Peer(id={self.id}, client={self.client_host}:{self.client_port}, "
            f"listener={self.listener_name})"
        )
