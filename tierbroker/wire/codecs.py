"""The codec of each API: the hand-written one where there is one, else the generated one.

A codec is loaded when the first request of its API arrives: most brokers never see most APIs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tierbroker.base.parts import Part
from tierbroker.serde.structs import Buffer
from tierbroker.wire import messages
from tierbroker.wire.api_keys import ApiKey


class Codec(NamedTuple):
    """How the requests of one API are read and its responses written."""

    decode_request: Callable[[Buffer, int, int], Any]
    """(frame, position of the body, version) -> request; raises DecodeError."""
    encode_response: Callable[[Any, int, bytes], list[Part]]
    """(response, version, encoded header) -> the answer, header included."""


def load(key: ApiKey) -> Codec:
    """The codec of an API, imported now."""
    if key is ApiKey.FETCH:
        from tierbroker.wire.fetch import decode_fetch, encode_fetch_response

        return Codec(decode_fetch, encode_fetch_response)
    if key is ApiKey.PRODUCE:
        from tierbroker.wire.produce import decode_produce, encode_produce_response

        return Codec(
            decode_produce,
            lambda response, version, header: [encode_produce_response(response, version, header)],
        )
    if key is ApiKey.METADATA:
        from tierbroker.wire.metadata import decode_metadata, encode_metadata_response

        return Codec(decode_metadata, encode_metadata_response)
    module = messages.load(key)
    decode, encode = module.decode_request, module.encode_response
    return Codec(
        lambda frame, position, version: decode(frame, position, version)[0],
        lambda response, version, header: [header + encode(response, version)],
    )
