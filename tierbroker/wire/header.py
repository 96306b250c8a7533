"""Request and response headers.

Version 1 of the request header has api key, api version, correlation id and a nullable client id
with a two-byte length; version 2, of flexible requests, adds tagged fields and keeps the old
client id. A flexible response has tagged fields in its header, except for ApiVersions, whose
header stays at version 0 so that a client can read it before it knows the broker.
"""

from struct import Struct
from struct import error as struct_error

from tierbroker.serde.codec import skip_tagged_fields
from tierbroker.serde.structs import Buffer, structs_equal, structs_repr
from tierbroker.wire.errors import DecodeError
from tierbroker.wire.messages.index import APIS

_API_VERSIONS = 18

_REQUEST = Struct(">hhih")
_read = _REQUEST.unpack_from
_correlation = Struct(">i").pack
_correlation_and_no_tags = Struct(">iB").pack

_flexible_from = {api.key: api.flexible_from for api in APIS.values()}


class RequestHeader:
    """What stands before the body; ``body_position`` is where the body starts in the frame."""

    __slots__ = ("api_key", "api_version", "body_position", "client_id", "correlation_id")

    def __init__(
        self,
        api_key: int,
        api_version: int,
        correlation_id: int,
        client_id: str | None,
        body_position: int,
    ) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.correlation_id = correlation_id
        self.client_id = client_id
        self.body_position = body_position

    __eq__ = structs_equal
    __repr__ = structs_repr
    __hash__ = None  # type: ignore[assignment]


def decode_request_header(frame: Buffer) -> RequestHeader:
    """Raises DecodeError for an unknown api key and for bytes that are no header.

    The version is not judged: it may be one that the API does not have.
    """
    try:
        api_key, api_version, correlation_id, length = _read(frame)
        flexible_from = _flexible_from[api_key]
        pos = 10
        client_id = None
        if length >= 0:
            pos += length
            client_id = str(frame[10:pos], "utf-8")
        elif length != -1:
            raise DecodeError(f"a client id of {length} bytes")
        if api_version >= flexible_from:
            tags = frame[pos]
            pos += 1
            if tags:
                pos = skip_tagged_fields(frame, pos, tags)
    except KeyError:
        raise DecodeError(f"unknown api key {api_key}") from None
    except (struct_error, IndexError, UnicodeDecodeError) as error:
        raise DecodeError(f"request header: {error}") from error
    if pos > len(frame):
        raise DecodeError(f"the request header ends {pos - len(frame)} bytes too soon")
    return RequestHeader(api_key, api_version, correlation_id, client_id, pos)


def encode_request_header(
    api_key: int, version: int, correlation_id: int, client_id: str | None
) -> bytes:
    """The header of a request that this broker sends."""
    text = b"" if client_id is None else client_id.encode()
    length = -1 if client_id is None else len(text)
    tags = b"\0" if version >= _flexible_from[api_key] else b""
    return _REQUEST.pack(api_key, version, correlation_id, length) + text + tags


def encode_response_header(api_key: int, version: int, correlation_id: int) -> bytes:
    """``version`` is the one of the request; without tagged fields for ApiVersions."""
    if version >= _flexible_from[api_key] and api_key != _API_VERSIONS:
        return _correlation_and_no_tags(correlation_id, 0)
    return _correlation(correlation_id)


def decode_response_header(api_key: int, version: int, frame: Buffer) -> tuple[int, int]:
    """(correlation id, where the body starts) of an answer to a request of this broker."""
    try:
        (correlation_id,) = Struct(">i").unpack_from(frame)
        pos = 4
        if version >= _flexible_from[api_key] and api_key != _API_VERSIONS:
            pos = skip_tagged_fields(frame, 5, frame[4])
    except (struct_error, IndexError) as error:
        raise DecodeError(f"response header: {error}") from error
    if pos > len(frame):
        raise DecodeError(f"the response header ends {pos - len(frame)} bytes too soon")
    return correlation_id, pos
