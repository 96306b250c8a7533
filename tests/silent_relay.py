"""A TCP relay before a store that falls silent when told to: it takes requests and answers none."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

READ_BYTES = 1 << 16


class SilentRelay:
    """`silent = True`, and whatever arrives from then on is swallowed; connections stay open."""

    def __init__(self, upstream: str) -> None:
        """`upstream` is the endpoint of the real store."""
        parts = urlsplit(upstream)
        self._upstream = str(parts.hostname), int(parts.port or 80)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.silent = False
        self.swallowed = threading.Event()
        """Set once a request came in the silence."""
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Break every connection."""
        for each in [self._server, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                store = socket.create_connection(self._upstream)
                self._sockets += [client, store]
                threading.Thread(target=self._carry, args=(client, store), daemon=True).start()
                threading.Thread(target=self._carry, args=(store, client), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(READ_BYTES):
                if self.silent:
                    self.swallowed.set()
                else:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def silent_relay(upstream: str) -> Iterator[SilentRelay]:
    """A relay for the time of a test."""
    relay = SilentRelay(upstream)
    try:
        yield relay
    finally:
        relay.close()
