"""A TCP relay in front of a broker that keeps every request frame that passes."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator


class RecordingProxy:
    """Listens at once, so that the broker can advertise `port`; relays after `relay_to`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.frames: list[bytes] = []
        self._target: tuple[str, int] = ("", 0)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]

    def relay_to(self, host: str, port: int) -> None:
        """Begin to take clients for the broker there."""
        self._target = host, port
        self._start(self._accept)

    def close(self) -> None:
        """Hang up on everyone."""
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(20)

    def _start(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self._start(self._relay, client, server, self.frames)
                self._start(self._relay, server, client, None)

    def _relay(
        self, source: socket.socket, target: socket.socket, kept: list[bytes] | None
    ) -> None:
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if kept is not None:
                    buffer += data
                    kept.extend(_cut(buffer))
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _cut(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole frames off the front of the buffer."""
    while len(buffer) >= 4:
        (size,) = struct.unpack_from(">i", buffer)
        if len(buffer) < 4 + size:
            return
        yield bytes(buffer[4 : 4 + size])
        del buffer[: 4 + size]
