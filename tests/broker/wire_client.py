"""A raw Kafka connection for tests: one socket, our own message codecs, nothing retried.

Speaks to any broker, so that the same test can be put to Apache Kafka (`--kafka-bootstrap`). It
sends what it is told, however wrong, and tells an answer from a closed connection.
"""

import selectors
import socket
import struct
import sys
from types import TracebackType
from typing import Any, Self

from tierbroker.wire import messages
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.header import decode_response_header
from tierbroker.wire.messages.api_versions import ApiVersionsRequest

DEADLINE_S = 20.0
CLIENT_ID = "wire-test"


class ConnectionClosedError(Exception):
    """The broker closed the connection instead of answering."""


def encode_header(
    key: int, version: int, number: int, client_id: str | None = CLIENT_ID, flexible: bool = False
) -> bytes:
    """A request header; `number` is the correlation id."""
    name = None if client_id is None else client_id.encode()
    head = struct.pack(">hhih", key, version, number, -1 if name is None else len(name))
    return head + (name or b"") + (b"\x00" if flexible else b"")


def encode_request(request: Any, version: int, number: int = 0) -> bytes:
    """A whole frame without its size: header and body."""
    module = sys.modules[type(request).__module__]
    flexible = version >= module.FLEXIBLE_FROM
    header = encode_header(module.API_KEY, version, number, flexible=flexible)
    return header + bytes(module.encode_request(request, version))


def framed(frame: bytes) -> bytes:
    """The frame as it travels."""
    return struct.pack(">i", len(frame)) + frame


class WireClient:
    """One connection. Correlation ids count up from 1; answers must come in that order."""

    def __init__(self, bootstrap: str, timeout_s: float = DEADLINE_S) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._bootstrap = bootstrap
        self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._number = 0
        self.closed_by_broker = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def another(self) -> "WireClient":
        """A second connection to the same broker."""
        return WireClient(self._bootstrap)

    def call(self, request: Any, version: int) -> Any:
        """Send a request and decode its answer; raises ConnectionClosedError."""
        number = self.send(request, version)
        return self.answer(request, version, number)

    def send(self, request: Any, version: int) -> int:
        """Send without waiting; returns the correlation id."""
        self._number += 1
        self.send_bytes(framed(encode_request(request, version, self._number)))
        return self._number

    def answer(self, request: Any, version: int, number: int | None = None) -> Any:
        """The next answer, which is to be one to such a request."""
        module = sys.modules[type(request).__module__]
        return self.answer_of(module.API_KEY, version, number or self._number)

    def answer_of(self, key: int, version: int, number: int) -> Any:
        """The next answer, decoded as one of API `key`; checks correlation id and length."""
        frame = self.receive_frame()
        correlation_id, position = decode_response_header(key, version, frame)
        assert correlation_id == number, "the answers are not in the order of the requests"
        response, end = messages.load(key).decode_response(frame, position, version)
        assert end == len(frame), f"{len(frame) - end} bytes after the answer"
        return response

    def send_bytes(self, data: bytes) -> None:
        """Send exactly these bytes; a broker that hung up already is told by the next read."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.closed_by_broker = True

    def receive_frame(self) -> bytes:
        """One answer without its size."""
        (size,) = struct.unpack(">i", self._receive(4))
        return self._receive(size)

    def wait_closed(self) -> None:
        """Wait until the broker closes the connection; anything else that it does is a failure."""
        try:
            data = self._socket.recv(64)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            raise AssertionError("the broker neither answers nor closes the connection") from None
        assert not data, f"an answer instead of a closed connection: {data.hex()}"
        self.closed_by_broker = True

    def is_silent(self, seconds: float) -> bool:
        """Nothing arrives meanwhile, not even the end of the connection."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            return not selector.select(seconds)

    def ping(self) -> None:
        """The connection is in step and the broker answers on it."""
        response = self.call(ApiVersionsRequest(), 0)
        assert response.error_code == 0
        assert any(entry.api_key == ApiKey.PRODUCE for entry in response.api_keys)

    def _receive(self, size: int) -> bytes:
        chunks = bytearray()
        while len(chunks) < size:
            try:
                chunk = self._socket.recv(size - len(chunks))
            except ConnectionResetError:
                chunk = b""
            except TimeoutError:
                raise AssertionError("the broker does not answer") from None
            if not chunk:
                self.closed_by_broker = True
                raise ConnectionClosedError
            chunks += chunk
        return bytes(chunks)
