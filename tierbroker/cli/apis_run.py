"""The rows of `tierbroker apis`.

The client library keeps to itself what a broker answers to ApiVersions, so this one request goes
over a socket of our own, with the codecs of the broker.
"""

import socket

from tierbroker.cli.bootstrap import Address, Bootstrap
from tierbroker.cli.exits import CommandFailedError, UnreachableError
from tierbroker.wire.api_keys import ApiKey
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.header import decode_response_header, encode_request_header
from tierbroker.wire.messages import api_versions
from tierbroker.wire.messages.index import APIS

TIMEOUT_S = 5.0
LARGEST_ANSWER = 1 << 20
_VERSION = 0  # every broker answers it; later versions add nothing that is shown

ApiRange = tuple[int, str, int, int]
"""Key, name, first and last version."""


def registered() -> list[ApiRange]:
    """What the broker of this version answers."""
    from tierbroker.broker.registry import SPECS

    return [(int(spec.key), _name(spec.key), spec.min_version, spec.max_version) for spec in SPECS]


def ask(bootstrap: Bootstrap) -> list[ApiRange]:
    """What the first broker that answers says; raises UnreachableError, CommandFailedError."""
    refusals = []
    for address in bootstrap.addresses:
        try:
            return _ask_one(address)
        except OSError as error:
            refusals.append(f"{address} ({error.strerror or error or 'connection closed'})")
    raise UnreachableError(
        f"Cannot reach a Kafka broker at {', '.join(refusals)}.\n"
        "Name another address with -b HOST:PORT, or leave it away for the list of this version."
    )


def _ask_one(address: Address) -> list[ApiRange]:
    request = encode_request_header(ApiKey.API_VERSIONS, _VERSION, 1, "tierbroker-cli")
    request += api_versions.encode_request(api_versions.ApiVersionsRequest(), _VERSION)
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
        connection.sendall(len(request).to_bytes(4, "big") + request)
        size = int.from_bytes(_receive(connection, 4), "big")
        if size > LARGEST_ANSWER:
            raise CommandFailedError(f"{address} does not answer as a Kafka broker.")
        frame = _receive(connection, size)
    try:
        _, position = decode_response_header(ApiKey.API_VERSIONS, _VERSION, frame)
        response, _ = api_versions.decode_response(frame, position, _VERSION)
    except DecodeError as error:
        raise CommandFailedError(
            f"{address} does not answer as a Kafka broker: {error}."
        ) from error
    if response.error_code:
        raise CommandFailedError(f"{address} answered with error {response.error_code}.")
    return sorted(
        (api.api_key, _name(api.api_key), api.min_version, api.max_version)
        for api in response.api_keys
    )


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("connection closed")
        data += piece
    return bytes(data)


def _name(key: int) -> str:
    api = APIS.get(key)
    return "unknown" if api is None else api.name
