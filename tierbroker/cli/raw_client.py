"""Requests that the client library does not know, sent by hand over a connection of their own.

One request at a time, nothing retried. Whatever fails becomes one sentence for people.
"""

import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.exits import CommandFailedError, UnreachableError
from tierbroker.cli.kafka_client import CONNECT_TIMEOUT_S, STALL_TIMEOUT_S, await_listener
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.header import decode_response_header, encode_request_header

_CLIENT_ID = "tierbroker-cli"
_SIZE = struct.Struct(">i")
_MAX_BYTES = 100 * 1024 * 1024


class RawClient:
    """One connection to one broker."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self._connection = connection
        self._address = address
        self._number = 0

    def call(self, request: Any, version: int) -> Any:
        """The answer to a message of `wire.messages`; UnreachableError, CommandFailedError."""
        module = sys.modules[type(request).__module__]
        self._number += 1
        header = encode_request_header(module.API_KEY, version, self._number, _CLIENT_ID)
        frame = header + module.encode_request(request, version)
        try:
            self._connection.sendall(_SIZE.pack(len(frame)) + frame)
            (size,) = _SIZE.unpack(self._receive(4))
            if not 0 < size <= _MAX_BYTES:
                raise UnreachableError(f"{self._address} does not answer as a Kafka broker.")
            answer = self._receive(size)
        except TimeoutError:
            raise CommandFailedError(
                f"{self._address} did not answer within {STALL_TIMEOUT_S:g} s."
            ) from None
        except OSError as error:
            raise UnreachableError(f"The connection to {self._address} broke: {error}") from error
        try:
            _, position = decode_response_header(module.API_KEY, version, answer)
            return module.decode_response(answer, position, version)[0]
        except DecodeError as error:
            raise UnreachableError(
                f"{self._address} does not answer as a Kafka broker: {error}"
            ) from error

    def _receive(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            piece = self._connection.recv(size - len(received))
            if not piece:
                raise CommandFailedError(
                    f"{self._address} closed the connection: it does not know the request."
                )
            received += piece
        return received


@contextmanager
def connected(bootstrap: Bootstrap) -> Iterator[RawClient]:
    """A connection to the first address that takes one; UnreachableError."""
    await_listener(bootstrap)
    failure = ""
    for address in bootstrap.addresses:
        try:
            found = socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S)
        except OSError as error:
            failure = str(error)
            continue
        with found:
            found.settimeout(STALL_TIMEOUT_S)
            yield RawClient(found, address)
        return
    raise UnreachableError(f"Cannot reach a Kafka broker at {bootstrap}: {failure}")
