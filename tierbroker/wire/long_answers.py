"""Answers of a great many rows, encoded a slice at a time: nobody is held up by all of them.

The generated codecs encode an answer whole. Where its rows are the last that it has, as they are
in every answer named here, slices of them may be encoded one by one; the bytes are the same. Must
never know what the rows mean, nor when the next slice is due.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tierbroker.base.parts import Part
from tierbroker.serde.codec import encode_uvarint
from tierbroker.wire.api_keys import ApiKey, flexible_from

ROWS_AT_ONCE = 64

ROWS = {
    ApiKey.ADD_PARTITIONS_TO_TXN: "results_by_transaction",
    ApiKey.DELETE_GROUPS: "results",
    ApiKey.DESCRIBE_CONFIGS: "results",
    ApiKey.DESCRIBE_GROUPS: "groups",
    ApiKey.DESCRIBE_TRANSACTIONS: "transaction_states",
    ApiKey.FIND_COORDINATOR: "coordinators",
    ApiKey.LIST_GROUPS: "groups",
    ApiKey.LIST_TRANSACTIONS: "transaction_states",
    ApiKey.OFFSET_FETCH: "groups",
    ApiKey.WRITE_TXN_MARKERS: "markers",
}
"""The rows of each API whose answers may have many: the last field, tagged ones apart."""

_COUNT_BYTES = 4

Encode = Callable[[Any, int, bytes], list[Part]]


def is_long(key: ApiKey, response: Any) -> bool:
    """Whether the answer is one that should be encoded in slices."""
    name = ROWS.get(key)
    return name is not None and len(getattr(response, name)) > ROWS_AT_ONCE


def encode_slices(
    key: ApiKey, encode: Encode, response: Any, version: int, header: bytes
) -> Iterator[bytes]:
    """The bytes of a long answer, in pieces of up to `ROWS_AT_ONCE` rows; raises EncodeError.

    `encode` is the whole one's. The rows are taken out of the response.
    """
    name = ROWS[key]
    rows = getattr(response, name)
    flexible = version >= flexible_from(key)

    def encoded(some: list[Any]) -> bytes:
        setattr(response, name, some)
        (part,) = encode(response, version, b"")
        assert isinstance(part, bytes)
        return part

    def count(number: int) -> bytes:
        return encode_uvarint(number + 1) if flexible else number.to_bytes(_COUNT_BYTES, "big")

    end = b"\0" if flexible else b""  # no tagged fields
    empty = encoded([])
    assert empty.endswith(count(0) + end), f"{key.name}: something follows the rows"
    begin = empty[: len(empty) - len(count(0) + end)]
    yield header + begin + count(len(rows))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        whole = encoded(some)
        yield whole[len(begin) + len(count(len(some))) : len(whole) - len(end)]
    setattr(response, name, [])
    yield end
